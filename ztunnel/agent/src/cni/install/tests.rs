//! Tests of `install`, on a directory that stands for the node.

use super::*;

const LIST: &str = r#"{"cniVersion":"0.4.0","name":"a","plugins":[{"type":"ptp"}]}"#;

struct Node(tempfile::TempDir);

impl Node {
    fn new(files: &[(&str, &str)]) -> Self {
        let node = Self(tempfile::tempdir().unwrap());
        for directory in ["bin", "net.d"] {
            fs::create_dir(node.0.path().join(directory)).unwrap();
        }
        files.iter().for_each(|(name, text)| node.write(name, text));
        node
    }

    fn places(&self, conf_name: Option<&str>) -> Places {
        Places {
            bin_dir: self.0.path().join("bin"),
            conf_dir: self.0.path().join("net.d"),
            conf_name: conf_name.map(str::to_owned),
            run_dir: "/var/run/adit-cni".into(),
        }
    }

    fn chain(&self, conf_name: Option<&str>) -> Result<PathBuf, NotInstalled> {
        Installer::new(self.places(conf_name), vec![], Readiness::new()).unwrap().chain()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join("net.d").join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join("net.d").join(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path().join("net.d")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn cni_01_the_first_configuration_is_the_one() {
    let node = Node::new(&[
        ("00-broken.conflist", "{"),
        ("10-a.conflist", LIST),
        ("20-b.conflist", LIST),
        ("note.txt", ""),
    ]);
    assert!(node.chain(None).unwrap().ends_with("10-a.conflist"));
    assert!(conflist::is_chained(&node.read("10-a.conflist")));
    assert_eq!(node.read("20-b.conflist"), LIST);

    node.write("05-new.conflist", LIST);
    assert!(node.chain(None).unwrap().ends_with("05-new.conflist"));
    assert_eq!(node.read("10-a.conflist"), LIST, "only one calls the plugin");

    assert!(node.chain(Some("20-b.conflist")).unwrap().ends_with("20-b.conflist"));
    assert_eq!(node.read("05-new.conflist"), LIST);
    node.write("20-b.conflist", LIST);
    node.chain(Some("20-b.conflist")).unwrap();
    assert!(conflist::is_chained(&node.read("20-b.conflist")), "others wrote it anew");

    uninstall(&node.places(None)).unwrap();
    assert_eq!(node.read("20-b.conflist"), LIST);
    assert_eq!(
        node.names(),
        ["00-broken.conflist", "05-new.conflist", "10-a.conflist", "20-b.conflist", "note.txt"]
    );
}

#[test]
fn a_single_plugin_becomes_a_list() {
    let node = Node::new(&[("10-a.conf", r#"{"cniVersion":"0.3.1","name":"a","type":"bridge"}"#)]);
    assert!(node.chain(None).unwrap().ends_with("10-a.conflist"));
    assert_eq!(node.names(), ["10-a.conflist"]);
    let before = node.read("10-a.conflist");
    node.chain(None).unwrap();
    assert_eq!(node.read("10-a.conflist"), before);
}

#[test]
fn cni_04_without_a_configuration_nothing_is_made() {
    let node = Node::new(&[]);
    assert!(matches!(node.chain(None), Err(NotInstalled::NoConfiguration(_))));
    assert_eq!(node.names(), [] as [&str; 0]);
    fs::remove_dir(node.0.path().join("net.d")).unwrap();
    let error = node.chain(None).unwrap_err().to_string();
    assert!(error.contains("net.d"), "{error}");
    assert!(!node.0.path().join("net.d").exists());
}

#[test]
fn the_binary_is_this_program() {
    let node = Node::new(&[]);
    let directory = node.places(None).bin_dir;
    install_binary(&directory).unwrap();
    install_binary(&directory).unwrap();
    let place = directory.join(PLUGIN);
    assert_eq!(fs::read(&place).unwrap().len() as u64, fs::metadata("/proc/self/exe").unwrap().len());
    assert_eq!(mode(&place), 0o755);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
}
