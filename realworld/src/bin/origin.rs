//! The HTTP server of the tests, as a program: see `minihuey_realworld::origin`.

fn main() {
    minihuey_realworld::origin::be_one_if_asked();
    eprintln!("this program is started by tests");
    std::process::exit(2);
}
