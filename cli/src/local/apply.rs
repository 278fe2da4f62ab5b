//! `adit local apply` and `adit local delete`: objects come and go.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::files;
use super::kinds;
use super::manifests::{self, Loaded, Written};
use super::mesh::Mesh;
use super::objects::{file_name, parse_file_name};

/// Create or change the objects of a file or directory (`-` is the standard input)
#[derive(Args, Debug)]
pub(super) struct Apply {
    #[arg(long, short = 'f', value_name = "PATH", required = true)]
    file: Vec<PathBuf>,
    /// The namespace of objects that name none
    #[arg(long, short = 'n', default_value = "default")]
    namespace: String,
}

/// Delete objects: those of a file, or one by kind and name
#[derive(Args, Debug)]
pub(super) struct Delete {
    #[arg(long, short = 'f', value_name = "PATH", conflicts_with_all = ["kind", "object"])]
    file: Vec<PathBuf>,
    /// For instance: service, vs, deployment
    #[arg(required_unless_present = "file", requires = "object")]
    kind: Option<String>,
    #[arg(value_name = "NAME")]
    object: Option<String>,
    /// The namespace of objects that name none
    #[arg(long, short = 'n', default_value = "default")]
    namespace: String,
}

/// All of it or, if anything is wrong with it, nothing.
pub(super) fn apply(mesh: &Mesh, apply: &Apply) -> Result<()> {
    for loaded in load(&apply.file, &apply.namespace)? {
        for (name, object) in &loaded.objects {
            let path = object.directory(mesh).join(name);
            let is_new = !path.exists();
            let is_changed = files::write_if_changed(&path, &object.text)?;
            let what = if is_new {
                "created"
            } else if is_changed {
                "changed"
            } else {
                "unchanged"
            };
            println!("{} {what}", object.name);
        }
    }
    Ok(())
}

pub(super) fn delete(mesh: &Mesh, delete: &Delete) -> Result<()> {
    if let (Some(kind), Some(name)) = (&delete.kind, &delete.object) {
        return delete_one(mesh, kind, name, &delete.namespace);
    }
    for loaded in load(&delete.file, &delete.namespace)? {
        for (name, object) in &loaded.objects {
            remove(mesh, name, object)?;
        }
    }
    Ok(())
}

fn load(paths: &[PathBuf], namespace: &str) -> Result<Vec<Loaded>> {
    let mut all = Vec::new();
    for path in paths {
        for file in manifests::files_of(path)? {
            all.push(manifests::load(&file, namespace));
        }
    }
    let errors: Vec<_> = all.iter().flat_map(|loaded| &loaded.errors).map(String::as_str).collect();
    if !errors.is_empty() {
        bail!("nothing is changed:\n  {}", errors.join("\n  "));
    }
    for notice in all.iter().flat_map(|loaded| &loaded.notices) {
        eprintln!("note: {notice}");
    }
    Ok(all)
}

fn remove(mesh: &Mesh, name: &str, object: &Written) -> Result<()> {
    let path = object.directory(mesh).join(name);
    let what = if path.exists() { "deleted" } else { "not found" };
    files::remove(&path)?;
    println!("{} {what}", object.name);
    if let Some(("namespace", _, namespace)) = parse_file_name(name) {
        delete_inside(mesh, namespace)?;
    }
    Ok(())
}

fn delete_one(mesh: &Mesh, kind: &str, name: &str, namespace: &str) -> Result<()> {
    let kind = kinds::find(kind)?;
    let home = if kind.is_namespaced { namespace } else { "" };
    let file = file_name(kind.name, home, name);
    let places = [mesh.manifests(), mesh.data()].map(|directory| directory.join(&file));
    let Some(path) = places.iter().find(|path| path.exists()) else {
        bail!(
            "there is no {} {name}{}",
            kind.name,
            if home.is_empty() { String::new() } else { format!(" in {home}") }
        );
    };
    files::remove(path)?;
    println!("{} {name} deleted", kind.name);
    if kind.name == "namespace" { delete_inside(mesh, name) } else { Ok(()) }
}

/// What is in a namespace goes with it.
fn delete_inside(mesh: &Mesh, namespace: &str) -> Result<()> {
    for directory in [mesh.manifests(), mesh.data()] {
        for entry in fs::read_dir(&directory).with_context(|| files::shown(&directory))? {
            let file = entry?.file_name();
            let Some((kind, home, name)) = file.to_str().and_then(parse_file_name) else { continue };
            if home == namespace {
                files::remove(&directory.join(Path::new(&file)))?;
                println!("{kind} {home}/{name} deleted");
            }
        }
    }
    Ok(())
}
