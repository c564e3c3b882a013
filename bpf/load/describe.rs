//! An open object as a manifest: its views, their records, its collectors and maps, by sections and
//! decl tags. Names and records are judged here, before anything is loaded. Asks the kernel nothing.

use std::ffi::OsStr;

use libbpf_rs::OpenObject;
use libbpf_rs::btf::Btf;

use super::LeftOut;
use super::layout;
use super::tags::Tags;
use crate::bpf::manifest::{
    Keep, Manifest, MapInfo, Order, ProgramInfo, ViewInfo, check_view_name,
};
use crate::bpf::record::{Meaning, Plan, Record};

/// An object's types and its author's tags on them.
pub(super) struct Types<'a> {
    pub(super) btf: Option<Btf<'a>>,
    pub(super) tags: Tags,
}

impl<'a> Types<'a> {
    /// Of the object in `elf`, which may have no types.
    pub(super) fn of(elf: &'a [u8]) -> Result<Types<'a>, String> {
        let btf = Btf::from_raw("view", elf).map_err(|error| error.to_string())?;
        let tags = btf.as_ref().map(Tags::collect).transpose()?;
        let tags = tags.unwrap_or_default();
        Ok(Types { btf, tags })
    }
}

/// The manifest of the open object. What is left out is unavailable in it.
pub(super) fn describe(
    open: &OpenObject,
    types: &Types<'_>,
    left_out: &LeftOut,
) -> Result<Manifest, String> {
    let tag = |program: &str, key: &str| types.tags.function(program, key);
    let mut manifest = Manifest::default();
    let mut sweeps = Vec::new();
    let mut walks = Vec::new();
    for program in open.progs() {
        let info = program_info(program.name(), program.section(), left_out);
        if let Some(of) = tag(&info.name, "sweep") {
            sweeps.push((of, info));
        } else if let Some(of) = tag(&info.name, "walk") {
            walks.push((of, info));
        } else if is_view(&info.section) {
            let view = view_info(types, info)?;
            if manifest.views.iter().any(|other| other.name == view.name) {
                return Err(format!("two of its views are called {}", view.name));
            }
            manifest.views.push(view);
        } else {
            manifest.collectors.push(info);
        }
    }
    for (of, info) in sweeps {
        let view = view_of(&mut manifest, of, &info)?;
        view.sweep = Some(info);
    }
    for (of, info) in walks {
        let view = view_of(&mut manifest, of, &info)?;
        view.walk = Some(info);
    }
    for map in open.maps() {
        let name = map.name().to_string_lossy().into_owned();
        let kept = types.tags.is_variable(&name, "keep");
        manifest.maps.push(MapInfo {
            name,
            size_bytes: 0,
            keep: kept.then_some(Keep::New),
        });
    }
    Ok(manifest)
}

fn view_info(types: &Types<'_>, program: ProgramInfo) -> Result<ViewInfo, String> {
    let tag = |key: &str| types.tags.function(&program.name, key);
    let name = tag("name").unwrap_or(&program.name);
    check_view_name(name)?;
    let help = tag("help").unwrap_or_default();
    let order = order(tag("order"))?;
    let refuse = |why: String| format!("record view {name}: {why}");
    let record = match (tag("record"), &types.btf) {
        (Some(of), Some(btf)) => {
            let record = layout::of_struct(btf, &types.tags, of).map_err(refuse)?;
            judge(&record, name, help, order).map_err(refuse)?;
            Some(record)
        }
        _ => None,
    };
    Ok(ViewInfo {
        name: name.to_owned(),
        help: help.to_owned(),
        order,
        record,
        sweep: None,
        walk: None,
        prepares: tag("prepare") != Some(NO_PREPARE),
        program,
    })
}

/// The function that stands for "nothing to prepare" in the authoring header.
const NO_PREPARE: &str = "cgview__no_prepare";

fn judge(record: &Record, view: &str, help: &str, order: Order) -> Result<(), String> {
    Plan::new(view, help, record).map_err(|error| error.to_string())?;
    let has_labels = record.fields.iter().any(|f| f.meaning == Meaning::Label);
    if order != Order::Itself && !has_labels {
        let why = "its order gives one record for each cgroup, so a member has to be their key";
        return Err(why.to_owned());
    }
    Ok(())
}

/// The view to which a sweep or a walk belongs.
fn view_of<'a>(
    manifest: &'a mut Manifest,
    of: &str,
    part: &ProgramInfo,
) -> Result<&'a mut ViewInfo, String> {
    let mut views = manifest.views.iter_mut();
    let view = views.find(|view| view.program.name == of);
    view.ok_or_else(|| {
        format!(
            "program {} belongs to view {of}, which is not there",
            part.name
        )
    })
}

fn is_view(section: &str) -> bool {
    matches!(section, "iter/cgroup" | "iter.s/cgroup")
}

fn order(word: Option<&str>) -> Result<Order, String> {
    match word {
        None | Some("self") => Ok(Order::Itself),
        Some("pre") => Ok(Order::Pre),
        Some("post") => Ok(Order::Post),
        Some("up") => Ok(Order::Up),
        Some("children") => Ok(Order::Children),
        Some(other) => Err(format!(
            "unknown order {other:?} (self, pre, post, up or children)"
        )),
    }
}

fn program_info(name: &OsStr, section: &OsStr, left_out: &LeftOut) -> ProgramInfo {
    let name = name.to_string_lossy().into_owned();
    ProgramInfo {
        section: section.to_string_lossy().trim_start_matches('?').to_owned(),
        verified_insns: 0,
        unavailable: left_out.get(&name).cloned(),
        name,
    }
}
