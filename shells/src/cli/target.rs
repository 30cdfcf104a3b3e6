//! Which server is asked, and who asks: flags, environment, or a kubeconfig.

use crate::cli::cluster::text;
use crate::cli::error::CliError;
use crate::cli::yaml;
use crate::client::connection::ServerUrl;
use crate::client::credentials::Credentials;
use clap::Args;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Which API server is asked, and who asks. Verbs take these before or after their name.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct ServerArgs {
    /// The API server; http://127.0.0.1:8080 if nothing else is said
    #[arg(short, long, global = true, env = "MINIKU_SERVER", value_name = "URL")]
    #[arg(aliases = ["apiserver", "api-server", "api-server-url"])]
    pub server: Option<ServerUrl>,
    /// A bearer token that says who asks
    #[arg(long, global = true, value_name = "TOKEN", conflicts_with = "token_file")]
    pub token: Option<String>,
    /// A file with such a token; it is read again each minute
    #[arg(long, global = true, env = "MINIKU_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A kubeconfig that says all of this; its servers must speak http
    #[arg(long, global = true, env = "MINIKU_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Which context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME", requires = "kubeconfig")]
    pub context: Option<String>,
}

/// Where `miniku up` listens.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// What all of it comes to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server.
    pub server: ServerUrl,
    /// Who asks.
    pub credentials: Credentials,
    /// The namespace of the kubeconfig's context.
    pub namespace: Option<String>,
}

impl ServerArgs {
    /// Reads what the flags name. A flag wins over the environment, and both over the kubeconfig.
    pub fn target(&self) -> Result<Target, CliError> {
        let from_file = match &self.kubeconfig {
            Some(file) => Some(kubeconfig(file, self.context.as_deref())?),
            None => None,
        };
        let usual = from_file.unwrap_or_else(|| Target {
            server: DEFAULT_SERVER.parse().expect("it is an address"),
            credentials: Credentials::default(),
            namespace: None,
        });
        let credentials = match (&self.token, &self.token_file) {
            (Some(token), _) => Credentials::token(token),
            (None, Some(file)) => token_of(file)?,
            (None, None) => usual.credentials.clone(),
        };
        Ok(Target { server: self.server.clone().unwrap_or(usual.server), credentials, namespace: usual.namespace })
    }
}

fn token_of(file: &Path) -> Result<Credentials, CliError> {
    Credentials::file(file).map_err(|source| CliError::Io { what: "read".into(), path: file.into(), source })
}

/// Source: Kubernetes documentation, "Organizing Cluster Access Using kubeconfig Files"; `client.authentication` is not
/// understood.
fn kubeconfig(file: &Path, context: Option<&str>) -> Result<Target, CliError> {
    let source = file.display().to_string();
    let text_of_file = std::fs::read_to_string(file).map_err(|source| CliError::Io {
        what: "read".into(),
        path: file.into(),
        source,
    })?;
    let config = yaml::documents(&text_of_file, &source)?.into_iter().next().unwrap_or_default();
    let wrong = |what: String| CliError::Plain(format!("error: {source}: {what}"));
    let named = |list: &str, field: &str, name: &str| {
        let all = config[list].as_array().into_iter().flatten();
        all.into_iter().find(|one| one["name"] == name).map(|one| one[field].clone())
    };
    let context = context.map_or_else(|| text(&config["current-context"]), str::to_owned);
    if context.is_empty() {
        return Err(wrong("it names no current-context".into()));
    }
    let found = named("contexts", "context", &context);
    let found = found.ok_or_else(|| wrong(format!("there is no context {context:?}")))?;
    let cluster = text(&found["cluster"]);
    let server = named("clusters", "cluster", &cluster).map(|cluster| text(&cluster["server"]));
    let server = server.ok_or_else(|| wrong(format!("there is no cluster {cluster:?}")))?;
    let server: ServerUrl = server.parse().map_err(wrong)?;
    let user = text(&found["user"]);
    let user = if user.is_empty() { Value::Null } else { named("users", "user", &user).unwrap_or_default() };
    let credentials = match (text(&user["token"]), text(&user["tokenFile"])) {
        (token, file_name) if token.is_empty() && file_name.is_empty() => Credentials::default(),
        // Relative to the kubeconfig it is, as for kubectl.
        (token, file_name) if token.is_empty() => token_of(&file.with_file_name("").join(file_name))?,
        (token, _) => Credentials::token(&token),
    };
    let namespace = Some(text(&found["namespace"])).filter(|namespace| !namespace.is_empty());
    Ok(Target { server, credentials, namespace })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_kubeconfig_says_where_and_who() {
        let directory = std::env::temp_dir().join(format!("miniku-kubeconfig-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("config");
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
            clusters:\n- {name: c, cluster: {server: 'http://10.0.0.1:81'}}\n- {name: t, cluster: {server: 'https://x'}}\n\
            users:\n- {name: jane, user: {token: secret}}\n- {name: joe, user: {tokenFile: joe.token}}\n\
            contexts:\n- {name: here, context: {cluster: c, user: jane, namespace: team}}\n\
            - {name: joes, context: {cluster: c, user: joe}}\n- {name: tls, context: {cluster: t}}\n\
            - {name: lost, context: {cluster: none}}\n";
        fs::write(&file, text).unwrap();
        fs::write(directory.join("joe.token"), "joes-secret\n").unwrap();
        let args = |context: Option<&str>| ServerArgs {
            kubeconfig: Some(file.clone()),
            context: context.map(str::to_owned),
            ..ServerArgs::default()
        };
        let target = args(None).target().unwrap();
        assert_eq!(
            (target.server.to_string().as_str(), target.namespace.as_deref()),
            ("http://10.0.0.1:81", Some("team"))
        );
        assert_eq!(target.credentials.header().as_deref(), Some("Bearer secret"));
        let target = args(Some("joes")).target().unwrap();
        assert_eq!((target.credentials.header().as_deref(), target.namespace), (Some("Bearer joes-secret"), None));
        for (context, want) in
            [("tls", "https is not spoken"), ("lost", "no cluster \"none\""), ("x", "no context \"x\"")]
        {
            let error = args(Some(context)).target().unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        // Flags win.
        let flags = ServerArgs { server: Some(":9".parse().unwrap()), token: Some("t".into()), ..args(None) };
        let target = flags.target().unwrap();
        assert_eq!(
            (target.server.authority(), target.credentials.header().as_deref()),
            ("127.0.0.1:9", Some("Bearer t"))
        );
        for text in ["", "[]", "current-context: [1]", "1"] {
            fs::write(&file, text).unwrap();
            assert!(args(None).target().is_err(), "{text}");
        }
        fs::remove_dir_all(directory).unwrap();
        assert_eq!(ServerArgs::default().target().unwrap().server.to_string(), DEFAULT_SERVER);
        assert!(args(None).target().is_err());
    }
}
