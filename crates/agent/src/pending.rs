pub(crate) mod sound {
    pub(crate) async fn check(_: &howdah_cluster::Cluster) -> anyhow::Result<()> {
        Ok(())
    }
    pub(crate) async fn checksums(_: &howdah_cluster::Cluster) -> anyhow::Result<()> {
        Ok(())
    }
}
pub(crate) mod reserve {
    use std::path::Path;
    pub(crate) fn size(_: &Path) -> u64 {
        0
    }
    pub(crate) fn ensure(_: &Path, _: u64) -> std::io::Result<()> {
        Ok(())
    }
    pub(crate) fn release(_: &Path) -> std::io::Result<()> {
        Ok(())
    }
}
pub(crate) mod rewind {
    use std::path::{Path, PathBuf};
    pub(crate) async fn rewind(_: &howdah_cluster::Cluster, _: &Path) -> anyhow::Result<()> {
        anyhow::bail!("no")
    }
    pub(crate) fn set_aside(data: &Path) -> std::io::Result<PathBuf> {
        let to = data.with_extension("diverged-1");
        std::fs::rename(data, &to)?;
        Ok(to)
    }
}
