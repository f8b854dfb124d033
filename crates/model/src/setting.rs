//! Every setting of the platform, in one list: `howdah env` prints it, and each role reads its part.

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is not set, for people.
    pub default: &'static str,
    /// What it does, with its unit.
    pub means: &'static str,
}

/// The settings, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "HOWDAH_HOME",
        default: "/var/lib/howdah as root, ~/.local/share/howdah otherwise",
        means: "directory of all state of the platform and its databases",
    },
    Setting {
        name: "HOWDAH_LISTEN",
        default: "127.0.0.1:5080",
        means: "address of the HTTP API and the dashboard",
    },
    Setting {
        name: "HOWDAH_TLS_LISTEN",
        default: "port 5443 on the address of HOWDAH_LISTEN, or one that is free",
        means: "address of the same with TLS: where backups are downloaded from",
    },
    Setting {
        name: "HOWDAH_GATEWAY_LISTEN",
        default: "127.0.0.1:5433",
        means: "address of the gateway: where applications reach their databases",
    },
    Setting {
        name: "HOWDAH_GATEWAY_POOL_LISTEN",
        default: "port 5434 on the address of HOWDAH_GATEWAY_LISTEN",
        means: "address of the gateway's pools: a server for each transaction, not for each client",
    },
    Setting {
        name: "HOWDAH_GATEWAY",
        default: "auto",
        means: "`auto` runs the gateway inside `howdah up` unless a `howdah gateway` runs; `external` never",
    },
    Setting {
        name: "HOWDAH_GATEWAY_DRAIN",
        default: "24h",
        means: "how long sessions may go on in a gateway that another one has taken over from",
    },
    Setting {
        name: "HOWDAH_GATEWAY_HOLD",
        default: "30",
        means: "how long the gateway keeps clients waiting for a server that has gone (seconds, or `1m`)",
    },
    Setting {
        name: "HOWDAH_GATEWAY_COMMITS",
        default: "resolve",
        means: "`tell` saves a small query with each COMMIT; a crash in it then leaves its outcome unknown",
    },
    Setting {
        name: "HOWDAH_GATEWAY_THREADS",
        default: "one for each processor",
        means: "threads of the gateway",
    },
    Setting {
        name: "HOWDAH_GATEWAY_HOST",
        default: "the address of HOWDAH_GATEWAY_LISTEN",
        means: "host name that database URLs carry; the gateway's certificate covers it",
    },
    Setting {
        name: "HOWDAH_GATEWAY_PLAINTEXT",
        default: "refuse",
        means: "`loopback` lets clients of this machine connect without TLS",
    },
    Setting {
        name: "HOWDAH_ROTATION_SETTLE",
        default: "60",
        means: "how long the old URL of a rotated credential works at least, also unused (seconds, or `1m`)",
    },
    Setting {
        name: "HOWDAH_DATABASE_URL",
        default: "a cluster that the platform makes for itself",
        means: "PostgreSQL database for the platform's own state",
    },
    Setting {
        name: "HOWDAH_ETCD_ENDPOINTS",
        default: "not used yet",
        means: "addresses of etcd, separated by commas: for leases, with high availability",
    },
    Setting {
        name: "HOWDAH_ARCHIVE_URL",
        default: "a directory below HOWDAH_HOME",
        means: "where WAL and base backups go: a directory, or s3://bucket/prefix, gs://…, az://… with \
                ?endpoint=URL&region=NAME&account=NAME; credentials come from AWS_*, GOOGLE_* or AZURE_*",
    },
    Setting {
        name: "HOWDAH_ARCHIVE_KEY",
        default: "the archive is not encrypted",
        means: "key that the archive is encrypted with from its beginning: 32 bytes in base64. Without \
                it nothing can be restored: keep a copy elsewhere",
    },
    Setting {
        name: "HOWDAH_TRANSFER_ALLOW",
        default: "none",
        means: "networks that restores and imports may read from although they are not public, as \
                10.0.0.0/8,127.0.0.0/8; all public addresses are allowed",
    },
    Setting {
        name: "HOWDAH_PLANS",
        default: "book",
        means: "whose plans decide how long data is kept: book (standard 1 hour) or today (standard 4 days)",
    },
    Setting {
        name: "HOWDAH_ROW_GRACE",
        default: "168h",
        means: "how long a hobby database may have more rows than its plan before INSERT is refused; \
                one with twice as many has no grace",
    },
    Setting {
        name: "HOWDAH_PG_BINDIRS",
        default: "/usr/lib/postgresql/*/bin",
        means: "directories with PostgreSQL's programs, separated by colons",
    },
    Setting {
        name: "HOWDAH_RUN_AS",
        default: "postgres when run as root, else the user itself",
        means: "operating system user of the PostgreSQL processes",
    },
    Setting {
        name: "HOWDAH_POOL_SIZE",
        default: "1",
        means: "ready clusters kept for the next standard-0 database of the default version",
    },
    Setting {
        name: "HOWDAH_SECRET_KEY",
        default: "a file of mode 0600 below HOWDAH_HOME",
        means: "key that encrypts stored secrets: 32 bytes in Base64 (or HOWDAH_SECRET_KEY_FILE)",
    },
    Setting {
        name: "HOWDAH_METRICS_TOKEN",
        default: "the file metrics.token, of mode 0600, below HOWDAH_HOME",
        means: "bearer token for Prometheus at /metrics (or HOWDAH_METRICS_TOKEN_FILE)",
    },
    Setting {
        name: "HOWDAH_VAR_PREFIX",
        default: "HEROKU_POSTGRESQL",
        means: "prefix of the config vars of second and further databases",
    },
    Setting {
        name: "HOWDAH_LOG",
        default: "info,tokio_postgres=warn",
        means: "what is logged: a level, or a filter such as `howdah_gateway=debug`",
    },
    Setting {
        name: "HOWDAH_URL",
        default: "http:// and HOWDAH_LISTEN",
        means: "command line: address of the platform",
    },
    Setting {
        name: "HOWDAH_TOKEN",
        default: "what `howdah login` or the first `howdah up` stored",
        means: "command line: API key",
    },
    Setting {
        name: "HOWDAH_APP",
        default: "HEROKU_APP, else the app of the Git remote",
        means: "command line: the app when `-a` is not given",
    },
    Setting {
        name: "HOWDAH_CONFIG_DIR",
        default: "$XDG_CONFIG_HOME/howdah or ~/.config/howdah",
        means: "command line: directory of the stored key",
    },
];
