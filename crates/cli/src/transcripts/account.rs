use insta::assert_snapshot;

use super::*;

#[test]
fn a2_a3_login_stores_the_key_and_a_wrong_password_stores_none() {
    let wrong = json!({ "id": "unauthorized", "message": "Invalid credentials provided." });
    let right = json!({
        "id": "t-1", "access_token": { "token": "k-2", "expires_in": 100 },
        "user": { "id": "a-1", "email": "dev@example.com" },
    });
    let platform = Platform::with(&[
        ("POST /oauth/authorizations", 401, wrong),
        ("POST /oauth/authorizations", 201, right),
        ("GET /account", 200, json!({ "id": "a-1", "email": "dev@example.com" })),
        ("DELETE /oauth/authorizations/~", 200, json!({})),
    ]);
    let bare = [("HOWDAH_TOKEN", "")];
    assert_snapshot!(platform.call("login --email dev@example.com", "nope\n", &bare), @r"
    $ howdah login --email dev@example.com
    2>  !    Authentication failed: the e-mail address or the password is wrong.
    2>  !    hint: no account yet? `howdah signup`
    exit 4
    ");
    assert_snapshot!(platform.call("whoami", "", &bare), @r"
    $ howdah whoami
    2>  !    You are not logged in to http://howdah.test
    2>  !    hint: log in first: `howdah login`
    exit 4
    ");
    assert_snapshot!(platform.call("login", "dev@example.com\ns3cret\n", &bare), @r"
    $ howdah login
    2> Authentication successful.
    exit 0
    ");
    assert_snapshot!(platform.call("whoami", "", &bare), @r"
    $ howdah whoami
    dev@example.com
    exit 0
    ");
    assert_snapshot!(platform.call("auth:token", "", &bare), @r"
    $ howdah auth:token
    k-2
    exit 0
    ");
    assert_snapshot!(platform.call("logout", "", &bare), @r"
    $ howdah logout
    2> Local credentials cleared.
    exit 0
    ");
    assert_snapshot!(platform.call("apps", "", &bare), @r"
    $ howdah apps
    2>  !    You are not logged in to http://howdah.test
    2>  !    hint: log in first: `howdah login`
    exit 4
    ");
}

#[test]
fn a1_a_new_account_is_logged_in_with_its_first_key() {
    let made = json!({
        "id": "a-1", "email": "dev@example.com",
        "authorization": { "access_token": { "token": "k-3" }, "user": { "email": "dev@example.com" } },
    });
    let platform = Platform::with(&[("POST /howdah/v1/accounts", 201, made)]);
    let bare = [("HOWDAH_TOKEN", "")];
    assert_snapshot!(platform.call("signup --email dev@example.com", "s3cret\n", &bare), @r"
    $ howdah signup --email dev@example.com
    2> Account dev@example.com created. You are logged in.
    exit 0
    ");
    assert!(platform.call("auth:token", "", &bare).contains("k-3"));
}

#[test]
fn a5_the_default_key_is_found_and_a_private_key_goes_nowhere() {
    let key = json!({
        "id": "key-1", "fingerprint": "SHA256:abc", "comment": "dev@laptop",
        "public_key": "ssh-ed25519 AAAA dev@laptop", "created_at": "2026-01-02T03:04:05Z",
    });
    let platform = Platform::with(&[
        ("POST /account/keys", 201, key.clone()),
        ("GET /account/keys", 200, json!([key])),
        ("DELETE /account/keys/key-1", 200, json!({})),
    ]);
    assert_snapshot!(platform.howdah("keys:add"), @r"
    $ howdah keys:add
    2> Could not find an existing public key.
    2>  !    There is no public key in /home/dev/.ssh
    2>  !    hint: name the file of a public key: `howdah keys:add PATH`
    exit 3
    ");
    let ssh = platform.home.path().join(".ssh");
    std::fs::create_dir(&ssh).expect("makes");
    std::fs::write(ssh.join("id_rsa.pub"), "ssh-ed25519 AAAA dev@laptop\n").expect("writes");
    std::fs::write(ssh.join("id_rsa"), "-----BEGIN PRIVATE KEY-----\n").expect("writes");
    assert_snapshot!(platform.howdah("keys:add"), @r"
    $ howdah keys:add
    2> Found existing public key: /home/dev/.ssh/id_rsa.pub
    2> Uploading SSH public key /home/dev/.ssh/id_rsa.pub... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("keys:add .ssh/id_rsa"), @r"
    $ howdah keys:add .ssh/id_rsa
    2>  !    /home/dev/.ssh/id_rsa holds no SSH public key
    2>  !    hint: name the file of a public key: `howdah keys:add PATH`
    exit 2
    ");
    assert_eq!(
        platform.changes(),
        [r#"POST /account/keys {"public_key":"ssh-ed25519 AAAA dev@laptop"}"#]
    );
    assert_snapshot!(platform.howdah("keys"), @r"
    $ howdah keys
    Key         Fingerprint  Added
    dev@laptop  SHA256:abc   2026-01-02T03:04:05Z
    exit 0
    ");
    assert_snapshot!(platform.howdah("keys:remove dev@laptop"), @r"
    $ howdah keys:remove dev@laptop
    2> Removing dev@laptop SSH key... done
    exit 0
    ");
    assert_snapshot!(platform.howdah("keys:remove nope"), @r"
    $ howdah keys:remove nope
    2>  !    No SSH key `nope`. There are: dev@laptop
    exit 3
    ");
}

#[test]
fn a_platform_that_is_away_is_told_with_what_to_run() {
    let platform = Platform::with(&[]);
    let nowhere = [("HOWDAH_URL", "http://127.0.0.1:1")];
    assert_snapshot!(platform.call("whoami", "", &nowhere), @r"
    $ howdah whoami
    2>  !    Couldn't reach Howdah at http://127.0.0.1:1: Connection refused (os error 111)
    2>  !    hint: is it running? `howdah up`
    exit 8
    ");
    assert_snapshot!(platform.call("whoami --json", "", &nowhere), @r#"
    $ howdah whoami --json
    {
      "error": {
        "code": "unreachable",
        "hint": "howdah up",
        "message": "Couldn't reach Howdah at http://127.0.0.1:1: Connection refused (os error 111)",
        "request_id": null,
        "retryable": true
      },
      "schema": "howdah.v1/error"
    }
    exit 8
    "#);
    let wrong = [("HOWDAH_URL", "127.0.0.1:5080")];
    assert_snapshot!(platform.call("whoami", "", &wrong), @r"
    $ howdah whoami
    2>  !    HOWDAH_URL is `127.0.0.1:5080`: relative URL without a base
    2>  !    It is an address such as http://127.0.0.1:5080
    exit 2
    ");
}

#[test]
fn a9_every_call_can_be_traced_and_made_by_hand() {
    let platform = Platform::with(&[
        ("GET /account", 200, json!({ "email": "dev@example.com" })),
        ("PATCH /apps/demo", 200, json!({ "maintenance": true })),
        ("GET /apps/nope", 404, json!({ "id": "not_found", "message": "Couldn't find that app." })),
    ]);
    assert_snapshot!(platform.howdah("--trace whoami"), @r"
    $ howdah --trace whoami
    dev@example.com
    2> > GET /account
    2> < GET /account: ok, 1 sent
    exit 0
    ");
    assert_snapshot!(platform.fed("api patch /apps/demo -d -", r#"{"maintenance": true}"#), @r#"
    $ howdah api patch /apps/demo -d -
    {
      "maintenance": true
    }
    exit 0
    "#);
    assert_snapshot!(platform.howdah("api GET /apps/nope"), @r"
    $ howdah api GET /apps/nope
    2>  !    Couldn't find that app.
    exit 3
    ");
    assert_snapshot!(platform.howdah("api GET http://evil.test/x"), @r"
    $ howdah api GET http://evil.test/x
    2>  !    no answer is prepared for GET /http://evil.test/x
    exit 3
    ");
    assert_snapshot!(platform.howdah("api BREW /coffee"), @r"
    $ howdah api BREW /coffee
    2>  !    METHOD is one of GET, POST, PATCH, PUT, DELETE, HEAD
    exit 2
    ");
}

#[test]
fn m21_a_request_whose_connection_broke_is_sent_again_with_the_same_id() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let mut ids = Vec::new();
        for turn in 0..2 {
            let (mut connection, _) = listener.accept().expect("a client");
            let mut request = [0; 4096];
            let read = connection.read(&mut request).expect("a request");
            let text = String::from_utf8_lossy(&request[..read]).to_lowercase();
            let id =
                text.lines().find_map(|line| line.strip_prefix("request-id: ").map(str::to_owned));
            ids.push(id.expect("has an id"));
            if turn == 1 {
                let body = r#"{"email":"dev@example.com"}"#;
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
                write!(connection, "{head}: {}\r\n\r\n{body}", body.len()).expect("answers");
            }
        }
        ids
    });
    let platform = Platform::with(&[]);
    let said = platform.call("whoami", "", &[("HOWDAH_URL", &url)]);
    assert!(said.ends_with("dev@example.com\nexit 0"), "{said}");
    let ids = server.join().expect("served");
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn each_request_has_an_id_of_its_own() {
    let platform = Platform::with(&[("GET /account", 200, json!({ "email": "dev@example.com" }))]);
    platform.howdah("whoami");
    platform.howdah("whoami");
    let ids = platform.request_ids.lock().expect("whole");
    assert!(ids.len() == 2 && ids[0] != ids[1] && ids[0].parse::<uuid::Uuid>().is_ok());
}
