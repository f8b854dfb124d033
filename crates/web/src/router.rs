//! Every route, one line each.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, patch, post, put};

use crate::data::{
    credentials, databases, downloads, links, maintenance, pooling, protection, reports, schedules,
    settings, transfers, uploads,
};
use crate::error::Error;
use crate::platform::{
    account, addons, apps, attachments, config_vars, dynos, formation, logs, releases, resolve,
};
use crate::web::{App, Web};
use crate::{auth, dashboard, howdah, metrics, not_offered, observe, repeat, runner, streams};

/// The most bytes of a request's body.
const BODY: usize = 1 << 20;

macro_rules! routes {
    ($table:ident, $router:ident: $($method:ident $path:literal $handler:path;)+) => {
        /// The methods and paths, for the tests that drive every route.
        #[cfg(test)]
        pub(crate) const $table: &[(&str, &str)] = &[$((stringify!($method), $path)),+];

        fn $router() -> Router<Web> {
            Router::new()$(.route($path, $method($handler)))+
        }
    };
}

// Those that need a token.
routes! { TOKEN, token:
    get    "/account"                                    account::show;
    get    "/account/keys"                               account::keys;
    post   "/account/keys"                               account::add_key;
    delete "/account/keys/{key}"                         account::remove_key;
    get    "/oauth/authorizations"                       account::authorizations;
    get    "/oauth/authorizations/{id}"                  account::no_authorization;
    delete "/oauth/authorizations/{id}"                  account::revoke;
    delete "/oauth/sessions/{id}"                        account::no_session;

    get    "/users/~/apps"                               apps::list;
    get    "/apps"                                       apps::list;
    post   "/apps"                                       apps::create;
    get    "/apps/{app}"                                 apps::show;
    patch  "/apps/{app}"                                 apps::update;
    delete "/apps/{app}"                                 apps::destroy;
    get    "/apps/{app}/collaborators"                   apps::collaborators;
    post   "/apps/{app}/collaborators"                   apps::add_collaborator;
    delete "/apps/{app}/collaborators/{who}"             apps::remove_collaborator;
    get    "/apps/{app}/dynos"                           dynos::list;
    post   "/apps/{app}/dynos"                           dynos::run;
    delete "/apps/{app}/dynos"                           dynos::restart_all;
    delete "/apps/{app}/dynos/{dyno}"                    dynos::restart;
    post   "/apps/{app}/dynos/{dyno}/actions/stop"       dynos::stop;
    get    "/apps/{app}/formation"                       formation::list;
    patch  "/apps/{app}/formation"                       formation::scale;
    delete "/apps/{app}/formations/{type}"               dynos::restart_type;
    post   "/apps/{app}/formations/{type}/actions/stop"  dynos::stop_type;
    post   "/apps/{app}/log-sessions"                    logs::create;
    get    "/apps/{app}/pipeline-couplings"              apps::no_pipeline;

    get    "/apps/{app}/config-vars"                     config_vars::list;
    patch  "/apps/{app}/config-vars"                     config_vars::change;
    get    "/apps/{app}/releases"                        releases::list;
    post   "/apps/{app}/releases"                        releases::roll_back;
    get    "/apps/{app}/releases/{release}"              releases::show;
    get    "/apps/{app}/releases/{release}/config-vars"  releases::config_vars;

    get    "/addon-services"                             addons::services;
    get    "/addon-services/{service}"                   addons::service;
    get    "/addon-services/{service}/plans"             addons::plans;
    get    "/addons"                                     addons::list;
    get    "/addons/{addon}"                             addons::show;
    get    "/addons/{addon}/addon-attachments"           attachments::list_of_addon;
    get    "/addons/{addon}/config/{credential}"         attachments::credential_config;
    get    "/apps/{app}/addons"                          addons::list_of_app;
    post   "/apps/{app}/addons"                          addons::create;
    get    "/apps/{app}/addons/{addon}"                  addons::show_of_app;
    patch  "/apps/{app}/addons/{addon}"                  addons::update;
    delete "/apps/{app}/addons/{addon}"                  addons::destroy;
    post   "/actions/addons/resolve"                     resolve::resolve_addons;
    post   "/actions/addon-attachments/resolve"          resolve::resolve_attachments;
    get    "/addon-attachments"                          attachments::list;
    post   "/addon-attachments"                          attachments::attach;
    get    "/addon-attachments/{attachment}"             attachments::show;
    delete "/addon-attachments/{attachment}"             attachments::detach;
    get    "/apps/{app}/addon-attachments"               attachments::list_of_app;
    get    "/apps/{app}/addon-attachments/{name}"        attachments::show_of_app;

    get    "/client/v11/databases/{database}"                     databases::show;
    get    "/client/v11/databases/{database}/wait_status"         databases::wait_status;
    get    "/client/v11/databases/{database}/upgrade/wait_status" not_offered::upgrade_wait;
    put    "/client/v11/databases/{database}/reset"               databases::reset;
    put    "/client/v11/databases/{database}/stats_reset"         databases::reset_statistics;
    put    "/client/v11/databases/{database}/unfollow"            databases::unfollow;
    post   "/client/v11/databases/{database}/connection_reset"    databases::end_sessions;
    post   "/client/v11/databases/{database}/connection-pooling"  pooling::attach;
    get    "/client/v11/databases/{database}/links"               links::list;
    post   "/client/v11/databases/{database}/links"               links::create;
    delete "/client/v11/databases/{database}/links/{link}"        links::destroy;
    get    "/postgres/v0/databases/{database}/credentials"        credentials::list;
    post   "/postgres/v0/databases/{database}/credentials"        credentials::create;
    get    "/postgres/v0/databases/{database}/credentials/{name}" credentials::show;
    delete "/postgres/v0/databases/{database}/credentials/{name}" credentials::destroy;
    post   "/postgres/v0/databases/{database}/credentials/{name}/credentials_rotation" credentials::rotate;
    post   "/postgres/v0/databases/{database}/credentials_rotation" credentials::rotate_all;
    post   "/postgres/v0/databases/{database}/repair-default"     credentials::repair_default;

    get    "/client/v11/apps/{app}/transfers"                               transfers::list;
    get    "/client/v11/apps/{app}/transfers/{transfer}"                    transfers::show;
    delete "/client/v11/apps/{app}/transfers/{transfer}"                    transfers::delete;
    post   "/client/v11/apps/{app}/transfers/{transfer}/actions/cancel"     transfers::cancel;
    post   "/client/v11/apps/{app}/transfers/{transfer}/actions/public-url" transfers::public_url;
    post   "/client/v11/databases/{database}/backups"                       transfers::capture;
    post   "/client/v11/databases/{database}/restores"                      transfers::restore;
    post   "/client/v11/databases/{database}/transfers"                     transfers::copy;
    get    "/client/v11/databases/{database}/transfer-schedules"            schedules::list;
    post   "/client/v11/databases/{database}/transfer-schedules"            schedules::create;
    delete "/client/v11/databases/{database}/transfer-schedules/{schedule}" schedules::delete;

    get    "/postgres/v0/databases/{database}/config"             settings::show;
    patch  "/postgres/v0/databases/{database}/config"             settings::change;
    get    "/data/maintenances/v1/apps/{app}"                     maintenance::list;
    get    "/data/maintenances/v1/{database}"                     maintenance::show;
    get    "/data/maintenances/v1/{database}/history/"            maintenance::history;
    get    "/data/maintenances/v1/{database}/window"              maintenance::window;
    post   "/data/maintenances/v1/{database}/window"              maintenance::choose;
    post   "/data/maintenances/v1/{database}/run"                 maintenance::run;
    post   "/data/maintenances/v1/{database}/schedule"            maintenance::schedule;

    get    "/client/v11/databases/{database}/metrics"             reports::metrics;
    get    "/client/v11/databases/{database}/burst_status"        reports::burst_status;
    post   "/reports"                                             reports::make;
    get    "/reports/{report}"                                    reports::show;

    get    "/howdah/v1/versions"                         howdah::versions;
    get    "/howdah/v1/apps/{app}/operations"            howdah::operations;
    get    "/howdah/v1/operations/{operation}"           howdah::show_operation;
    get    "/howdah/v1/databases/{database}/transitions" howdah::database_transitions;
    patch  "/howdah/v1/databases/{database}/credentials/{name}" credentials::permit;
    get    "/howdah/v1/databases/{database}/pool"        pooling::show;
    get    "/howdah/v1/databases/{database}/protection"  protection::show;
    put    "/howdah/v1/databases/{database}/backup"      protection::backup;
    put    "/howdah/v1/databases/{database}/drill"       protection::drill;
    post   "/howdah/v1/databases/{database}/dumps"       uploads::take;
    get    "/howdah/v1/databases/{database}/timelines"   protection::timelines;
    post   "/howdah/v1/databases/undelete"               protection::undelete;
    get    "/howdah/v1/incidents"                        protection::incidents;
    get    "/howdah/v1/apps/{app}/runner/{name}"         runner::wanted;
    put    "/howdah/v1/apps/{app}/runner/{name}"         runner::report;
    delete "/howdah/v1/apps/{app}/runner/{name}"         runner::leave;
    post   "/howdah/v1/apps/{app}/runner/{name}/lines"   runner::say;
    get    "/howdah/v1/apps/{app}/streams/{stream}/{side}" streams::open;
}

// Those that Heroku has and this platform does not have yet.
routes! { NOT_OFFERED, refused:
    get    "/apps/{app}/log-drains"                                           not_offered::logs;
    post   "/apps/{app}/log-drains"                                           not_offered::logs;
    delete "/apps/{app}/log-drains/{drain}"                                   not_offered::logs;
    post   "/client/v11/databases/{database}/upgrade/{step}"                  not_offered::upgrades;
}

// Those that need no account's token.
routes! { OPEN, open:
    get    "/health"                                     howdah::health;
    get    "/backups/{transfer}/{app}/{file}"            downloads::show;
    get    "/metrics"                                    metrics::show;
    get    "/logs/{session}"                             logs::show;
    post   "/oauth/authorizations"                       account::authorize;
    post   "/howdah/v1/accounts"                         account::sign_up;
}

// The dashboard's pages and forms, by cookie. Browsers that ask for `/apps/NAME` get the page too.
routes! { PAGES, pages:
    get    "/"                                           dashboard::index;
    get    "/databases/{database}"                       dashboard::database;
    get    "/dashboard/apps/{app}"                       dashboard::app;
    post   "/dashboard/apps"                             dashboard::create;
    post   "/dashboard/apps/{app}/databases"             dashboard::add_database;
    post   "/dashboard/databases/{database}/reveal"      dashboard::reveal;
    post   "/dashboard/databases/{database}/promote"     dashboard::promote;
    post   "/dashboard/databases/{database}/reset"       dashboard::reset;
    post   "/dashboard/databases/{database}/destroy"     dashboard::destroy;
    get    "/databases/{database}/snapshots/{snapshot}"  dashboard::download;
    post   "/dashboard/databases/{database}/snapshots"   dashboard::snapshot;
    post   "/dashboard/databases/{database}/snapshots/{snapshot}/delete" dashboard::delete_snapshot;
    post   "/dashboard/apps/{app}/backups"               dashboard::set_plan;
    post   "/dashboard/logout"                           dashboard::log_out;
}

// Those that need none.
routes! { DOORS, doors:
    get    "/login"                                      dashboard::login;
    post   "/login"                                      dashboard::log_in;
    get    "/signup"                                     dashboard::signup;
    post   "/signup"                                     dashboard::sign_up;
    get    "/dashboard/howdah.css"                       dashboard::style;
    get    "/dashboard/howdah.svg"                       dashboard::icon;
}

/// Everything that listens on `HOWDAH_LISTEN`.
pub fn router(app: App) -> Router {
    let web = Web::new(app);
    let token = token()
        .merge(refused())
        .layer(from_fn_with_state(web.clone(), repeat::answer_once))
        .layer(from_fn_with_state(web.clone(), auth::authenticate));
    let all = Router::new()
        .merge(token)
        .merge(open())
        .merge(pages())
        .merge(doors())
        .fallback(async || Error::no_such_route())
        .method_not_allowed_fallback(async || Error::no_such_route())
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn(observe::observe))
        .with_state(web);
    // Around the routing, as it changes the path.
    Router::new().fallback_service(all).layer(from_fn(dashboard::to_pages))
}
