//! Files of a result in a folder.

use crate::{Head, Page, Table, write_csv, write_csv_head, write_html, write_json, write_parquet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk, or whatever takes the bytes.
    #[error("cannot write: {0}")]
    Io(#[from] io::Error),
    /// The Parquet writer.
    #[error("cannot write Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// The CSV writer.
    #[error("cannot write CSV: {0}")]
    Csv(#[from] csv::Error),
    /// The JSON writer.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Any of them, at a place.
    #[error("{}: {error}", file.display())]
    At {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        error: Box<WriteError>,
    },
    /// Two tables would have one file.
    #[error("two tables are named `{0}`: rename one")]
    Twice(crate::Name),
}

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// A file a table.
    Parquet,
    /// Two files a table: rows, and what they are.
    Csv,
    /// A file a table.
    Json,
    /// One page of all.
    Html,
}

impl Format {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Parquet, Self::Csv, Self::Json, Self::Html];

    /// Its name, which is how its files end.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Html => "html",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A format that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no output {0:?}: use parquet, csv, json or html")]
pub struct FormatError(String);

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| FormatError(text.to_owned()))
    }
}

/// Writes a result into a folder, which is made if it is not there, and gives the files in the order in which they were written. A file
/// has its name only when it is whole; one of an earlier result is replaced.
///
/// # Errors
/// When a file cannot be written, or two tables have one name.
pub fn write_folder(
    folder: &Path,
    formats: &[Format],
    head: &Head,
    tables: &[Table],
    page: &Page<'_>,
) -> Result<Vec<PathBuf>, WriteError> {
    for (at, table) in tables.iter().enumerate() {
        if tables.iter().take(at).any(|earlier| earlier.name() == table.name()) {
            return Err(WriteError::Twice(table.name().clone()));
        }
    }
    fs::create_dir_all(folder).map_err(|error| at(folder, error.into()))?;
    let mut files = Vec::new();
    let mut file = |name: String, write: &dyn Fn(BufWriter<File>) -> Result<(), WriteError>| {
        let whole = folder.join(&name);
        write_file(&whole, &folder.join(format!("{name}.part")), write).map_err(|error| at(&whole, error))?;
        files.push(whole);
        Ok::<_, WriteError>(())
    };
    for format in Format::ALL.into_iter().filter(|format| formats.contains(format)) {
        for table in tables {
            let name = format!("{}.{format}", table.name());
            match format {
                Format::Parquet => file(name, &|out| write_parquet(head, table, out))?,
                Format::Json => file(name, &|out| write_json(head, table, out))?,
                Format::Csv => {
                    file(format!("{name}.json"), &|out| write_csv_head(head, table, out))?;
                    file(name, &|out| write_csv(table, out))?;
                }
                Format::Html => {}
            }
        }
        if format == Format::Html {
            file("report.html".to_owned(), &|out| write_html(head, page, out))?;
        }
    }
    Ok(files)
}

fn write_file(
    whole: &Path,
    part: &Path,
    write: &dyn Fn(BufWriter<File>) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    write(BufWriter::new(File::create(part)?))?;
    Ok(fs::rename(part, whole)?)
}

fn at(file: &Path, error: WriteError) -> WriteError {
    WriteError::At { file: file.to_owned(), error: Box::new(error) }
}
