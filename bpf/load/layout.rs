//! The layout of a record from BTF: the struct that a record view writes, and the tags on its
//! members. The BTF of a stranger's object is hostile input; what is read here is judged by
//! [`crate::bpf::record::Plan`] before it is used.

use libbpf_rs::btf::types::{Array, Int, IntEncoding, MemberAttr, Struct};
use libbpf_rs::btf::{Btf, BtfKind, BtfType, HasSize};

use super::tags::{Tags, has, value};
use crate::bpf::abi;
use crate::bpf::record::{Field, Kind, Meaning, Record, Scale, Unit};

/// The layout of the struct called `name`, or why it cannot be a record.
pub(super) fn of_struct(btf: &Btf<'_>, tags: &Tags, name: &str) -> Result<Record, String> {
    let name = name.trim_start_matches("struct ").trim();
    let Some(composite) = btf.type_by_name::<Struct<'_>>(name) else {
        return Err(format!("its BTF has no struct {name}"));
    };
    let mut fields = Vec::new();
    for (index, member) in composite.iter().enumerate() {
        let member_name = member.name.unwrap_or_default().to_string_lossy();
        // Names like these are padding.
        if member_name.is_empty() || member_name.starts_with('_') {
            continue;
        }
        let refuse = |why: &str| format!("struct {name}: member {member_name} {why}");
        let MemberAttr::Normal { offset } = member.attr else {
            return Err(refuse("is a bit field, which a record cannot hold"));
        };
        let kind = btf
            .type_by_id::<BtfType<'_>>(member.ty)
            .and_then(|ty| kind(btf, ty))
            .ok_or_else(|| refuse("is neither an integer, a char array nor a cgview_hist"))?;
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let member_tags = tags.member(composite.type_id(), index);
        let with_descendants = has(member_tags, "with_descendants");
        if with_descendants && kind != Kind::Unsigned(8) {
            return Err(refuse("counts descendants, so it must be a __u64"));
        }
        fields.push(Field {
            name: member_name.to_string(),
            offset_bytes: offset as usize / 8,
            kind,
            meaning: meaning(member_tags),
            unit: unit(value(member_tags, "unit")).map_err(|why| refuse(&why))?,
            help: value(member_tags, "help").unwrap_or_default().to_owned(),
            absent_if_ones: has(member_tags, "absent"),
            with_descendants,
        });
    }
    Ok(Record {
        size_bytes: composite.size(),
        fields,
    })
}

fn meaning(tags: &[String]) -> Meaning {
    if has(tags, "counter") {
        Meaning::Counter
    } else if has(tags, "label") {
        Meaning::Label
    } else {
        Meaning::Gauge
    }
}

fn unit(word: Option<&str>) -> Result<Unit, String> {
    match word {
        None | Some("") => Ok(Unit::None),
        Some("ns") => Ok(Unit::Nanoseconds),
        Some("us") => Ok(Unit::Microseconds),
        Some("bytes") => Ok(Unit::Bytes),
        Some(other) => Err(format!(
            "has the unknown unit {other:?} (ns, us, bytes or none)"
        )),
    }
}

fn kind(btf: &Btf<'_>, ty: BtfType<'_>) -> Option<Kind> {
    let ty = ty.skip_mods_and_typedefs();
    match ty.kind() {
        BtfKind::Int => {
            let int = Int::try_from(ty).ok()?;
            let size_bytes = usize::from(int.bits) / 8;
            Some(match int.encoding {
                IntEncoding::Signed => Kind::Signed(size_bytes),
                _ => Kind::Unsigned(size_bytes),
            })
        }
        BtfKind::Enum => Some(Kind::Unsigned(4)),
        BtfKind::Array => {
            let array = Array::try_from(ty).ok()?;
            let of = array.contained_type().skip_mods_and_typedefs();
            let is_char = of.kind() == BtfKind::Int && of.name().is_some_and(|n| n == "char");
            is_char.then(|| Kind::String(array.capacity()))
        }
        BtfKind::Struct => histogram(btf, Struct::try_from(ty).ok()?),
        _ => None,
    }
}

/// `struct cgview_hist` and `struct cgview_hist_log2` of the authoring header.
fn histogram(btf: &Btf<'_>, ty: Struct<'_>) -> Option<Kind> {
    let (scale, head_bytes) = match ty.name()?.to_str()? {
        "cgview_hist" => (Scale::LogLinear, abi::cgview_hist::SLOTS),
        "cgview_hist_log2" => (Scale::Log2, abi::cgview_hist_log2::SLOTS),
        _ => return None,
    };
    let slots = ty.iter().find(|m| m.name.is_some_and(|n| n == "slots"))?;
    let slots = Array::try_from(btf.type_by_id::<BtfType<'_>>(slots.ty)?).ok()?;
    let slots = slots.capacity();
    (ty.size() == head_bytes + slots * 8).then_some(Kind::Histogram { scale, slots })
}
