//! The UIDs of pods in the content of `/proc/<pid>/cgroup`, for both versions of
//! control groups and both drivers of the kubelet.

use crate::pod::Uid;

/// A UID as the API server makes them.
const UID_LENGTH: usize = 36;
/// How the kubelet begins the name of a pod's group.
const POD: &str = "pod";

/// The pods a process is in, outermost first: a node may itself run inside a pod.
pub(super) fn pods(groups: &str) -> impl Iterator<Item = Uid> + '_ {
    // A line is `<hierarchy>:<controllers>:<path>`; the path may hold colons.
    groups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .flat_map(|path| path.split('/'))
        .filter_map(pod)
}

/// `pod<uid>` as the driver cgroupfs writes it, or `…-pod<uid with _ for ->.slice` of systemd,
/// which writes the names of all groups above into each name.
fn pod(segment: &str) -> Option<Uid> {
    // containerd appends `:cri-containerd:<id>` where the two drivers meet.
    let group = segment.split_once(':').map_or(segment, |(group, _)| group);
    let segment = group.strip_suffix(".slice").unwrap_or(group);
    let start = segment.len().checked_sub(UID_LENGTH)?;
    let (before, uid) = (segment.get(..start)?, segment.get(start..)?);
    let marked = before.strip_suffix(POD).is_some_and(|above| above.is_empty() || above.ends_with('-'));
    let uid = uid.replace('_', "-");
    let dashes = uid.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    (marked && dashes).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "6a1c2f5e-0d3b-4f9a-8c7d-112233445566";

    fn found(groups: &str) -> Vec<Uid> {
        pods(groups).collect()
    }

    #[test]
    fn cap_01_pods_are_found_in_the_groups_of_every_driver_and_runtime() {
        let tied = UID.replace('-', "_");
        for path in [
            format!("0::/kubepods/besteffort/pod{UID}/0123abcd"),
            format!("0::/kubepods/pod{UID}/0123abcd"),
            format!("0::/kubepods.slice/kubepods-pod{tied}.slice/crio-01.scope"),
            format!(
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{tied}.slice/cri-containerd-01.scope"
            ),
            format!(
                "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{tied}.slice/cri-containerd-01.scope"
            ),
            format!("0::/../../kubepods-besteffort-pod{tied}.slice/cri-containerd-01.scope/nested"),
            format!("11:memory:/docker/f00/kubelet/kubepods/burstable/pod{UID}/01\n10:cpu,cpuacct:/"),
            format!(
                "1:name=systemd:/system.slice/containerd.service/kubepods-besteffort-pod{tied}.slice:cri-containerd:01"
            ),
        ] {
            assert_eq!(found(&path), [UID], "{path}");
        }
    }

    #[test]
    fn other_groups_are_no_pod() {
        for path in [
            "0::/".to_owned(),
            "0::/user.slice/user-0.slice/session-1.scope".to_owned(),
            format!("0::/notapod{UID}/x"),
            format!("0::/kubepods/pod{}/x", UID.replace('-', "x")),
            "0::/kubepods/pod0123456789abcdef0123456789abcdef/x".to_owned(),
            "nonsense".to_owned(),
            format!("0::/pod/{UID}"),
        ] {
            assert_eq!(found(&path), [] as [&str; 0], "{path}");
        }
    }

    #[test]
    fn a_node_inside_a_pod_names_the_outer_pod_first() {
        let inner = UID.replace('6', "7");
        let path = format!("0::/kubepods/pod{UID}/01/kubelet/kubepods/pod{inner}/02");
        assert_eq!(found(&path), [UID.to_owned(), inner]);
    }
}
