//! The decision tables of the controllers, as pages of `docs/decisions/`.

use crate::controllers::{garbage, namespaces, node_lifecycle};

/// A page for each table: the stem of its file, and its Markdown.
pub fn pages() -> Vec<(&'static str, String)> {
    [node_lifecycle::pages(), garbage::pages(), namespaces::pages()].concat()
}

/// A page: a title, a paragraph, the table.
pub fn page(title: &str, paragraph: &str, table: &str) -> String {
    format!("# {title}\n\n{paragraph}\n\n{table}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_has_a_file_of_its_own_and_rows() {
        let mut stems: Vec<&str> = pages().iter().map(|(stem, _)| *stem).collect();
        let count = stems.len();
        stems.sort_unstable();
        stems.dedup();
        assert_eq!(stems.len(), count);
        for (stem, page) in pages() {
            assert!(
                page.starts_with("# ") && page.lines().filter(|line| line.starts_with("| `")).count() > 1,
                "{stem}"
            );
        }
    }
}
