//! YAML in and out, as kubectl means it.
//!
//! Kubernetes' YAML is YAML 1.1: `yes` is true, `0644` is octal. Duplicate keys are errors.

use crate::cli::error::CliError;
use crate::yaml;
use serde::Serialize;
use serde_json::Value;

/// Reads all documents of a file, YAML or JSON; empty documents are left out. `source` names it in errors.
pub fn documents(text: &str, source: &str) -> Result<Vec<Value>, CliError> {
    let wrong = |what: String| CliError::Manifest { source: source.to_owned(), what };
    // JSON is read as such: it may be indented with tabs, and its errors are about JSON.
    if text.trim_start().starts_with('{') {
        let documents = serde_json::Deserializer::from_str(text).into_iter().collect::<Result<Vec<Value>, _>>();
        match documents {
            Ok(documents) => return Ok(documents),
            Err(error) if is_json(source) => return Err(wrong(error.to_string())),
            // YAML's own braces: `{a: b}`.
            Err(_) => {}
        }
    }
    let options = serde_saphyr::options! { legacy_octal_numbers: true, with_snippet: false };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| wrong(error.without_snippet().to_string()))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

fn is_json(source: &str) -> bool {
    source.ends_with(".json")
}

/// Writes a value as kubectl does: keys sorted, lists not indented, long lines left alone.
pub fn write(value: &impl Serialize) -> Result<String, CliError> {
    yaml::text(value).map_err(|error| CliError::Plain(format!("error: cannot be written as YAML: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_as_kubernetes_means_it() {
        let check = |text: &str, want: Value| assert_eq!(Value::from(documents(text, "f").unwrap()), want, "{text}");
        check("a: 0644", json!([{"a": 420}]));
        check("a: '0644'", json!([{"a": "0644"}]));
        check("a: yes\nb: \"yes\"", json!([{"a": true, "b": "yes"}]));
        check("---\na: 1\n---\n# nothing\n---\nb: 2\n", json!([{"a": 1}, {"b": 2}]));
        check("{\"a\": 1}\n{\"b\":\t2}", json!([{"a": 1}, {"b": 2}]));
        check("{a: b}", json!([{"a": "b"}]));
        check("", json!([]));
    }

    #[test]
    fn says_where_it_is_wrong() {
        let check = |text: &str, file: &str, want: &str| {
            let error = documents(text, file).unwrap_err().to_string();
            assert!(error.contains(want) && error.contains(file), "{error}");
        };
        check("a: 1\na: 2", "f.yaml", "duplicate mapping key: a");
        check("a: 1\na: 2", "f.yaml", "line 2, column 1");
        check("a: [1", "f.yaml", "line 1, column 4");
        check("{\"a\": 1,}", "f.json", "line 1 column 9");
    }

    #[test]
    fn writes_as_kubectl_does() {
        let value =
            json!({"b": "yes", "a": [{"x": "0644", "y": []}], "s": {}, "t": "1\n2\n", "l": "w ".repeat(60) + "w"});
        let long = "w ".repeat(60) + "w";
        let want = format!("a:\n- x: \"0644\"\n  \"y\": []\nb: \"yes\"\nl: {long}\ns: {{}}\nt: |\n  1\n  2\n");
        assert_eq!(write(&value).unwrap(), want);
    }
}
