//! Commands that we tell people to run next. All of them are here, so that a test can prove that
//! each is a command that we understand.

use crate::shell;

/// A command to run next, ready to be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    /// What the command is for, ending in punctuation.
    pub(crate) lead: String,
    pub(crate) command: String,
}

/// A command to run next, with places for names in capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumIter)]
pub(crate) enum Hint {
    Up,
    Login,
    Help,
    HelpCommand,
    HelpPg,
    ListApps,
    CreateApp,
    NameApp,
    ListDatabases,
    CreateDatabase,
    ListAddons,
    WaitForAddon,
    WaitForDatabase,
    ListPlans,
    DetachFirst,
    PromoteAnyway,
    CreateSigned,
    AddKey,
    SetConfig,
    ListOperations,
    WatchOperations,
    RollBack,
    ListReleases,
    OpenSession,
    ListCredentials,
    AttachCredential,
    Grant,
    Link,
    Pool,
    Unfollow,
    ShowProtection,
    WatchTransfer,
    ShowTransfer,
    ListBackups,
    Capture,
    Restore,
    Schedule,
    EmptyFirst,
    VerifyImport,
    Promote,
    StartRunner,
    ReadLog,
}

impl Hint {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::StartRunner => ("run them:", "howdah runner DIR -a APP"),
            Self::ReadLog => ("its output:", "howdah logs -p DYNO -a APP"),
            Self::Up => ("is it running?", "howdah up"),
            Self::Login => ("log in first:", "howdah login"),
            Self::Help => ("all commands:", "howdah help"),
            Self::HelpCommand => ("how it is used:", "howdah help COMMAND"),
            Self::HelpPg => ("what is offered:", "howdah help pg"),
            Self::ListApps => ("your apps:", "howdah apps"),
            Self::CreateApp => ("make one:", "howdah apps:create"),
            Self::NameApp => ("name it:", "howdah COMMAND -a APP"),
            Self::ListDatabases => ("its databases:", "howdah pg:info -a APP"),
            Self::CreateDatabase => ("make one:", "howdah addons:create heroku-postgresql -a APP"),
            Self::ListAddons => ("its add-ons:", "howdah addons -a APP"),
            Self::WaitForAddon => ("wait for it:", "howdah addons:wait ADDON -a APP"),
            Self::WaitForDatabase => ("wait for it:", "howdah pg:wait DATABASE -a APP"),
            Self::ListPlans => ("the plans:", "howdah addons:plans heroku-postgresql"),
            Self::DetachFirst => {
                ("to set it by hand, detach it first:", "howdah addons:detach ATTACHMENT -a APP")
            }
            Self::PromoteAnyway => {
                ("to promote it all the same:", "howdah pg:promote DATABASE -a APP --force")
            }
            Self::CreateSigned => ("no account yet?", "howdah signup"),
            Self::AddKey => ("name the file of a public key:", "howdah keys:add PATH"),
            Self::SetConfig => ("set one:", "howdah config:set NAME=VALUE -a APP"),
            Self::ListOperations => ("see why:", "howdah pg:operations -a APP"),
            Self::WatchOperations => ("see how it goes:", "howdah pg:operations -a APP"),
            Self::RollBack => ("to undo:", "howdah rollback RELEASE -a APP"),
            Self::ListReleases => ("its releases:", "howdah releases -a APP"),
            Self::OpenSession => ("open a session:", "howdah pg:psql DATABASE -a APP"),
            Self::ListCredentials => ("to see whether that is so:", "howdah pg:credentials -a APP"),
            Self::AttachCredential => {
                ("attach it:", "howdah addons:attach ADDON --credential NAME -a APP")
            }
            Self::Grant => ("grant it what it needs:", "howdah pg:psql DATABASE -a APP"),
            Self::Link => ("make one:", "howdah pg:links:create REMOTE DATABASE -a APP"),
            Self::Unfollow => ("unfollow first:", "howdah pg:unfollow DATABASE -a APP"),
            Self::ShowProtection => ("see how it goes:", "howdah pg:protection DATABASE -a APP"),
            Self::WatchTransfer => ("watch it again:", "howdah pg:backups:wait ID -a APP"),
            Self::ShowTransfer => ("for more details:", "howdah pg:backups:info ID -a APP"),
            Self::ListBackups => ("its backups:", "howdah pg:backups -a APP"),
            Self::Capture => ("capture one:", "howdah pg:backups:capture -a APP"),
            Self::Restore => {
                ("to restore it:", "howdah pg:backups:restore ID DATABASE -a APP --confirm APP")
            }
            Self::Schedule => {
                ("set one up:", "howdah pg:backups:schedule DATABASE --at TIME -a APP")
            }
            Self::EmptyFirst => ("to empty it:", "howdah pg:reset DATABASE -a APP"),
            Self::VerifyImport => {
                ("compare again:", "howdah pg:import:verify SOURCE DATABASE -a APP")
            }
            Self::Promote => ("when it is right:", "howdah pg:promote DATABASE -a APP"),
            Self::Pool => {
                ("take its URL away:", "howdah addons:detach DATABASE_CONNECTION_POOL -a APP")
            }
        }
    }

    /// The advice, without names.
    pub(crate) fn plain(self) -> Advice {
        self.fill(&[])
    }

    /// The advice with names in their places: `[("APP", "demo")]`.
    pub(crate) fn fill(self, names: &[(&str, &str)]) -> Advice {
        let (lead, command) = self.words();
        let fill = |word: &str| {
            let name = names.iter().find(|(place, _)| *place == word);
            name.map_or_else(|| word.to_owned(), |(_, name)| shell::word(name))
        };
        let words: Vec<_> = command.split(' ').map(fill).collect();
        Advice { lead: lead.to_owned(), command: words.join(" ") }
    }
}
