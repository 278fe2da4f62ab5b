//! What the fuzz targets reach of this crate: the node's network configuration, which others write.

use crate::cni::conflist;

/// The list with `entry` as its last plugin.
pub fn chain(list: &str, entry: &str) -> Result<String, String> {
    conflist::chain(list, entry).map_err(|unusable| unusable.to_string())
}

/// The list without any entry of ours.
pub fn unchain(list: &str) -> Result<String, String> {
    conflist::unchain(list).map_err(|unusable| unusable.to_string())
}

/// Whether the list has an entry of ours.
pub fn is_chained(list: &str) -> bool {
    conflist::is_chained(list)
}
