//! The options that are about copies, and the window.

use howdah_model::ids::{AppId, DatabaseId};
use howdah_model::plan;
use howdah_model::version::Major;

use super::*;

fn read(given: &[(&str, &str)]) -> Result<Option<Asked>, String> {
    let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    asked(&given.collect()).map_err(|error| error.to_string())
}

fn back_of(given: &[(&str, &str)]) -> Back {
    read(given).expect("accepted").expect("a copy").back
}

#[test]
fn g2_g27_the_forms_that_are_accepted() {
    assert_eq!(read(&[("version", "15")]), Ok(None));
    assert_eq!(back_of(&[("fork", "DATABASE")]), Back::Now);
    assert_eq!(back_of(&[("fork", "DATABASE"), ("fast", "true")]), Back::Backup);
    assert_eq!(back_of(&[("fork", "DATABASE"), ("fast", "false")]), Back::Now);
    assert_eq!(back_of(&[("follow", "demo::GOLD")]), Back::Now);
    let by = back_of(&[("rollback", "RED"), ("by", "1 hour 5 minutes")]);
    assert_eq!(by, Back::By(SignedDuration::from_secs(3900)));
    let to = back_of(&[("rollback", "RED"), ("to", "2014-10-05 15:02")]);
    assert!(matches!(to, Back::To(moment) if !moment.zoned));
}

#[test]
fn g2_g3_g4_the_forms_that_are_refused() {
    for (given, why) in [
        (&[("rollback", "RED")][..], "`--to"),
        (&[("rollback", "RED"), ("to", "2014-10-05 15:02"), ("by", "1 hour")], "one or the other"),
        (&[("rollback", "RED"), ("by", "soon")], "not an interval"),
        (&[("rollback", "RED"), ("to", "yesterday")], "not a time"),
        (&[("rollback", "RED"), ("by", "1 hour"), ("fast", "true")], "goes with `--fork"),
        (&[("fork", "RED"), ("follow", "RED")], "exclude each other"),
        (&[("fork", "RED"), ("by", "1 hour")], "goes with `--rollback"),
        (&[("fork", "true")], "needs a database"),
        (&[("follow", " ")], "needs a database"),
        (&[("to", "2014-10-05 15:02")], "goes with `--rollback"),
        (&[("fast", "true")], "goes with `--fork"),
    ] {
        let refused = read(given).expect_err("refused");
        assert!(refused.contains(why), "{given:?}: {refused}");
    }
}

fn addon(plan: &str) -> Addon {
    Addon {
        id: DatabaseId::new(),
        name: "postgresql-one".parse().expect("a name"),
        app_id: AppId::new(),
        app_name: "demo".parse().expect("a name"),
        plan: plan::find(plan).expect("a plan"),
        major: Major(15),
        database_name: "d1".parse().expect("a name"),
        created_at: Timestamp::UNIX_EPOCH,
        published: true,
        destroying: false,
        owned: true,
        follows: None,
        state: howdah_model::database::State::Available,
        since: Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn g6_outside_of_the_window_the_earliest_moment_is_told() {
    let addon = addon("standard-0");
    let time = |text: &str| text.parse::<Timestamp>().expect("a time");
    let now = time("2014-10-05T16:00:00Z");
    let earliest = Some(time("2014-10-05T15:00:00Z"));
    let check = |at: &str, earliest| {
        check_window(&addon, time(at), earliest, now).map_err(|error| error.to_string())
    };
    assert_eq!(check("2014-10-05T15:00:00Z", earliest), Ok(()));
    assert_eq!(check("2014-10-05T16:00:00Z", earliest), Ok(()));
    let early = check("2014-10-05T14:59:59Z", earliest).expect_err("refused");
    assert!(early.contains("2014-10-05 15:00:00 UTC at the earliest"), "{early}");
    assert!(check("2014-10-05T16:00:01Z", earliest).expect_err("no").contains("future"));
    assert!(check("2014-10-05T15:30:00Z", None).expect_err("no").contains("no base backup"));
}

#[test]
fn c35_g16_the_plan_is_the_sources_and_a_smaller_one_is_remarked() {
    let asked = read(&[("follow", "RED")]).expect("accepted").expect("a copy");
    let source = Source { asked, addon: addon("standard-2") };
    let small = plan::find("standard-0").expect("a plan");
    let said = remarks(&source, small).join(" ");
    assert!(said.contains("standard-0 is smaller than standard-2"), "{said}");
    assert!(said.contains("same zone"), "G17: {said}");
    let same = remarks(&source, source.addon.plan).join(" ");
    assert!(!same.contains("smaller"), "{same}");
    let hobby = plan::find("hobby-dev").expect("a plan");
    let refused = source.check_plan(hobby).expect_err("refused").to_string();
    assert_eq!(refused, "Follow is only available on production databases.");
}
