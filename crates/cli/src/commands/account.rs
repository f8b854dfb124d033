//! Who is logged in: login, logout, whoami, auth:token, signup.

use howdah_model::secret::Secret;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Call, Identity};
use crate::command::{Command, Group, Opt, command};
use crate::credentials::{Keys, Stored};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given::Given;
use crate::hint::Hint;
use crate::prompt;
use crate::resources::Person;
use crate::session::{Ignored, Session};

/// How long a key from `login` lasts: Heroku's 30 days are for browsers; this one is for a person's
/// own machine and lasts a year.
const KEY_SECONDS: u32 = 365 * 86_400;

const EMAIL: Opt = Opt::value(
    "email",
    None,
    "EMAIL",
    "the e-mail address; the password is read from standard input",
);

pub(super) const COMMANDS: &[Command] = &[
    command("login", Group::Account, "Log in, and store a key", |s, g| Box::pin(login(s, g)))
        .aliases(&["auth:login"])
        .options(&[EMAIL])
        .note("The key is kept in credentials.json in HOWDAH_CONFIG_DIR, readable by you only.")
        .examples(&["howdah login", "howdah login --email dev@example.com < password-file"]),
    command("logout", Group::Account, "Revoke the stored key and forget it", |s, g| {
        Box::pin(logout(s, g))
    })
    .aliases(&["auth:logout"])
    .examples(&["howdah logout"]),
    command("whoami", Group::Account, "Show who is logged in", |s, g| Box::pin(whoami(s, g)))
        .aliases(&["auth:whoami", "auth"])
        .examples(&["howdah whoami"]),
    command("auth:token", Group::Account, "Print the key in use", |s, g| Box::pin(token(s, g)))
        .examples(&["howdah auth:token"]),
    command("signup", Group::Account, "Make an account, and log in", |s, g| Box::pin(signup(s, g)))
        .aliases(&["auth:signup"])
        .options(&[EMAIL])
        .examples(&["howdah signup", "howdah signup --email dev@example.com < password-file"]),
];

#[derive(Deserialize)]
struct Authorization {
    access_token: AccessToken,
    user: Option<Person>,
}

/// A new account, with its first key.
#[derive(Deserialize)]
struct SignedUp {
    authorization: Authorization,
}

#[derive(Deserialize)]
struct AccessToken {
    token: Secret,
}

async fn login(session: &Session, given: &Given) -> Result<(), Failure> {
    let (email, password) = who(session, given, "Enter your Howdah credentials.")?;
    obtain_key(session, &email, &password).await?;
    session.say("Authentication successful.");
    session.answer("account", &json!({ "email": email }), |_| {})
}

async fn signup(session: &Session, given: &Given) -> Result<(), Failure> {
    let (email, password) = who(session, given, "Choose your Howdah credentials.")?;
    let call = Call {
        method: Method::POST,
        url: session.api.url(&["howdah", "v1", "accounts"]),
        body: Some(json!({ "email": email, "password": password.reveal() })),
        range: None,
        identity: Identity::Nobody,
    };
    let answer = session.send(&call).await?;
    let SignedUp { authorization } = understood(&answer.body)?;
    store(session, &email, authorization)?;
    session.say(&format!("Account {email} created. You are logged in."));
    session.answer("account", &json!({ "email": email }), |_| {})
}

/// Asks for the e-mail address and the password (A2).
fn who(session: &Session, given: &Given, title: &str) -> Result<(String, Secret), Failure> {
    if session.may_ask {
        session.say(title);
    }
    let email = match given.value("email") {
        Some(email) => email.to_owned(),
        None => prompt::line(session, "Email: ")?,
    };
    let password = prompt::hidden(session, "Password (typing will be hidden): ")?;
    if email.trim().is_empty() || password.reveal().is_empty() {
        return Err(Failure::usage("Both an e-mail address and a password are needed"));
    }
    Ok((email.trim().to_owned(), password))
}

/// Trades e-mail address and password for a key, and stores it.
async fn obtain_key(session: &Session, email: &str, password: &Secret) -> Result<(), Failure> {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let call = Call {
        method: Method::POST,
        url: session.api.url(&["oauth", "authorizations"]),
        body: Some(json!({
            "description": format!("Howdah CLI login from {machine}"),
            "expires_in": KEY_SECONDS,
            "scope": ["global"],
        })),
        range: None,
        identity: Identity::Person { email: email.to_owned(), password: password.clone() },
    };
    let answer = session.send(&call).await.map_err(|failure| {
        if failure.exit != Exit::Forbidden {
            return failure;
        }
        // Which half was wrong is nobody's business (A3).
        let message = "Authentication failed: the e-mail address or the password is wrong.";
        Failure::new(Exit::Forbidden, "unauthorized", message).advise(Hint::CreateSigned.plain())
    })?;
    store(session, email, understood(&answer.body)?)
}

fn understood<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|_| {
        Failure::new(Exit::Failed, "bad-answer", "The platform's answer holds no key.")
    })
}

fn store(session: &Session, email: &str, got: Authorization) -> Result<(), Failure> {
    let email = got.user.map_or_else(|| email.to_owned(), |user| user.email);
    let account = Stored { email, token: got.access_token.token };
    let keys = Keys::of(&session.environment);
    keys.store(&session.platform, &account)
        .map_err(|error| Failure::new(Exit::Failed, "credentials-unusable", error.to_string()))
}

async fn logout(session: &Session, _given: &Given) -> Result<(), Failure> {
    if session.key().is_ok() {
        let gone = session.delete::<Ignored>(&["oauth", "authorizations", "~"]).await;
        // A key that is not valid any more needs no revoking.
        if let Err(failure) = gone
            && !matches!(failure.exit, Exit::NotFound | Exit::Forbidden)
        {
            return Err(failure);
        }
    }
    Keys::of(&session.environment)
        .forget(&session.platform)
        .map_err(|error| Failure::new(Exit::Failed, "credentials-unusable", error.to_string()))?;
    session.say("Local credentials cleared.");
    session.answer("account", &Value::Null, |_| {})
}

async fn whoami(session: &Session, _given: &Given) -> Result<(), Failure> {
    let account: Person = session.get(&["account"]).await?;
    session.answer("account", &account, |page| page.line(&account.email))
}

async fn token(session: &Session, _given: &Given) -> Result<(), Failure> {
    let key = session.key()?;
    session.answer("token", &json!({ "token": key.reveal() }), |page| page.line(key.reveal()))
}
