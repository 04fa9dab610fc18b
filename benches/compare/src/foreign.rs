//! The peers in other languages: finds their tools, installs what they need under target/, and
//! knows how each is started. Who is not there is left out, with the reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::output;
use crate::works::Fallible;

const PACKAGES: [&str; 2] = ["huey", "gevent"];

pub struct Foreign {
    /// The virtual environment's interpreter.
    python: Result<PathBuf, String>,
    /// What `go build` made of the peer.
    go: Result<PathBuf, String>,
}

/// Where everything that is made on the way is put: in the target directory.
pub fn workshop() -> Fallible<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or("this program is not in a target directory")?;
    let workshop = target.join("compare");
    fs::create_dir_all(&workshop)?;
    Ok(workshop)
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

impl Foreign {
    pub fn find() -> Foreign {
        let left_out = |who: &str, why: String| {
            println!("{who} is left out: {why}");
            why
        };
        let found = |tool: &str, asked: &str| {
            let found = output(Command::new(tool).arg(asked));
            found.map_err(|_| format!("{tool} is not installed"))
        };
        let python = found("python3", "--version")
            .and_then(|_| virtual_environment().map_err(|why| why.to_string()))
            .map_err(|why| left_out("Python", why));
        let go = found("go", "version")
            .and_then(|_| build_go().map_err(|why| why.to_string()))
            .map_err(|why| left_out("Go", why));
        Foreign { python, go }
    }

    /// The peers' script under the virtual environment's interpreter, arguments to follow.
    pub fn python(&self) -> Result<Command, String> {
        let mut command = Command::new(self.python.as_ref().map_err(Clone::clone)?);
        command.arg(sources().join("peer.py"));
        Ok(command)
    }

    pub fn go(&self) -> Result<Command, String> {
        Ok(Command::new(self.go.as_ref().map_err(Clone::clone)?))
    }

    /// Of those that are there.
    pub fn versions(&self) -> Vec<(String, String)> {
        let mut versions = Vec::new();
        if let Ok(python) = &self.python {
            let told = output(Command::new(python).arg("--version")).unwrap_or_default();
            versions.push(("Python".to_owned(), told.replace("Python ", "")));
            for package in PACKAGES {
                let code = format!("import importlib.metadata as m; print(m.version('{package}'))");
                let told = output(Command::new(python).args(["-c", &code]));
                versions.push((package.to_owned(), told.unwrap_or_default()));
            }
        }
        if self.go.is_ok() {
            let told = output(Command::new("go").arg("version")).unwrap_or_default();
            let version = told.split_whitespace().nth(2).unwrap_or_default();
            versions.push(("Go".to_owned(), version.replace("go", "")));
        }
        versions
    }

    /// How many packages Python's MiniHuey needs, itself not counted.
    pub fn python_packages(&self) -> Fallible<usize> {
        let python = self.python.as_ref().map_err(Clone::clone)?;
        let code = "import importlib.metadata as m\n\
                    own = {'pip', 'setuptools', 'wheel', 'huey'}\n\
                    print(len({d.name for d in m.distributions()} - own))";
        Ok(output(Command::new(python).args(["-c", code]))?.parse()?)
    }
}

fn virtual_environment() -> Fallible<PathBuf> {
    let place = workshop()?.join("venv");
    let python = place.join("bin/python");
    let complete = place.join("complete");
    if !complete.exists() {
        println!("making a virtual environment for Python's {}", PACKAGES.join(" and "));
        output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place))?;
        output(Command::new(&python).args(["-m", "pip", "install", "-q"]).args(PACKAGES))?;
        fs::write(complete, "")?;
    }
    Ok(python)
}

fn build_go() -> Fallible<PathBuf> {
    let program = workshop()?.join("go-peer");
    let source = sources().join("peer.go");
    output(Command::new("go").args(["build", "-o"]).arg(&program).arg(source))?;
    Ok(program)
}
