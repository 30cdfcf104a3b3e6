//! YAML out, as Kubernetes writes it.

use serde::Serialize;

/// A value as YAML: lists not indented, long lines left alone.
pub fn text(value: &impl Serialize) -> Result<String, String> {
    let options = serde_saphyr::ser_options! { compact_list_indent: true, folded_wrap_chars: usize::MAX };
    let mut text = serde_saphyr::to_string_with_options(value, options).map_err(|error| error.to_string())?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
