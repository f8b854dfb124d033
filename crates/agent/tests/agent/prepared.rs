//! What an agent prepares in advance.

use super::*;

fn inode(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|meta| std::os::unix::fs::MetadataExt::ino(&meta))
}

/// Whether copies of a major are ready: the newest has two.
fn ready_copies(agent: &Agent, major: &Installed) -> Vec<PathBuf> {
    let dir = agent.home().join("spares");
    let places = (1..=2).map(|n| dir.join(format!("{}-{n}", major.version.major)));
    places.filter(|place| place.join("howdah.template").is_file()).collect()
}

#[tokio::test]
async fn a_participant_takes_a_ready_copy_by_a_rename_and_another_is_made() {
    for major in majors() {
        let agent = Agent::start(std::slice::from_ref(&major)).await;
        let count = if major.version == majors().last().unwrap().version { 2 } else { 1 };
        let full = async || ready_copies(&agent, &major).len() == count;
        until("copies are ready", full).await;
        let copies: Vec<_> =
            ready_copies(&agent, &major).iter().filter_map(|copy| inode(copy)).collect();
        let tenants = [Tenant::new("one"), Tenant::new("two"), Tenant::new("six")];
        let specs = tenants.each_ref().map(|tenant| spec(&major, &[tenant]));
        // More at once than there are copies.
        for spec in &specs {
            assert_eq!(agent.put(spec).await.status(), StatusCode::OK);
        }
        let mut taken = Vec::new();
        for (spec, tenant) in specs.iter().zip(&tenants) {
            let seen = agent.put_and_wait(spec).await;
            tenant.connect(&seen.socket_dir).await.unwrap().ask("select 1").await.unwrap();
            let data = agent.dir(spec.id).join("data");
            assert!(!data.join("howdah.template").exists());
            taken.extend(inode(&data).filter(|inode| copies.contains(inode)));
        }
        assert_eq!(taken.len(), count, "each copy serves one");
        until("there are new copies", full).await;
    }
}

#[tokio::test]
async fn copies_that_are_half_made_or_of_another_template_are_replaced_and_never_used() {
    let major = &majors()[0];
    let mut agent = Agent::start(std::slice::from_ref(major)).await;
    until("a copy is ready", || async { !ready_copies(&agent, major).is_empty() }).await;
    agent.end().await;
    let copy = ready_copies(&agent, major).remove(0);
    let mark = std::fs::read_to_string(copy.join("howdah.template")).unwrap();
    std::fs::write(copy.join("howdah.template"), format!("{mark}more\n")).unwrap();
    let half = copy.with_file_name(".15-1.new");
    let unknown = copy.with_file_name("9-1");
    for dir in [&half, &unknown] {
        std::fs::create_dir_all(dir.join("base")).unwrap();
    }
    let old = inode(&copy);
    agent.begin().await;
    let spec = spec(major, &[]);
    agent.put_and_wait(&spec).await;
    assert!(inode(&agent.dir(spec.id).join("data")) != old, "it is of another template");
    until("only a good copy is there", || async {
        let replaced = std::fs::read_to_string(copy.join("howdah.template"));
        replaced.is_ok_and(|now| now == mark) && !half.exists() && !unknown.exists()
    })
    .await;
    let kept = inode(&copy);
    agent.end().await;
    howdah_agent::stop_all(agent.home(), &agent.home.run_as, None).await.unwrap();
    agent.begin().await;
    agent.put_and_wait(&spec).await;
    assert_eq!(inode(&copy), kept, "a good one stays");
}

#[tokio::test]
async fn a_shared_cluster_gets_another_spare_database_and_one_with_its_one_database_does_not() {
    for major in majors() {
        let agent = Agent::start(std::slice::from_ref(&major)).await;
        let (one, two) = (Tenant::new("one"), Tenant::new("two"));
        let (alone, mut shared) = (spec(&major, &[&one]), spec(&major, &[&one]));
        let spares = async |socket_dir: &Path| {
            let server = Connection::open(socket_dir, "postgres", Limits::WORK).await.unwrap();
            let spare = "select from pg_database d where datname = 'howdah_spare' \
                and shobj_description(d.oid, 'pg_database') is not null";
            server.rows(spare, &[]).await.unwrap().len()
        };
        let alone = agent.put_and_wait(&alone).await.socket_dir;
        let at = agent.put_and_wait(&shared).await.socket_dir;
        assert_eq!((spares(&alone).await, spares(&at).await), (0, 0), "each has taken its own");
        next(&mut shared);
        shared.databases.insert(two.name.clone(), two.spec.clone());
        agent.put_and_wait(&shared).await;
        until("there is a spare again", async || spares(&at).await == 1).await;
        next(&mut shared);
        shared.databases.clear();
        agent.put_and_wait(&shared).await;
        assert_eq!((spares(&alone).await, spares(&at).await), (0, 1));
    }
}
