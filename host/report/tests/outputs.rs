//! What is written is read back by others' readers, and is the same bytes each time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{HOSTILE, head, kinds, name, page, tables};
use millpond_report::{
    Cell, Column, Format, Table, WriteError, write_csv, write_csv_head, write_folder, write_html, write_json,
    write_parquet,
};
use millpond_types::Digest;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

fn written(write: impl FnOnce(&mut Vec<u8>) -> Result<(), WriteError>) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    out
}

fn same(field: &Field, cell: Option<Cell<'_>>) -> bool {
    match (field, cell) {
        (Field::Null, None) => true,
        (Field::ULong(read), Some(Cell::U64(written))) => *read == written,
        (Field::Long(read), Some(Cell::I64(written))) => *read == written,
        (Field::Double(read), Some(Cell::F64(written))) => read.to_bits() == written.to_bits(),
        (Field::Str(read), Some(Cell::Text(written))) => read == written,
        (Field::Str(read), Some(Cell::U128(written))) => read.parse() == Ok(written),
        _ => false,
    }
}

fn assert_parquet_holds(table: &Table) {
    let file = written(|out| write_parquet(&head(), table, out));
    let reader = SerializedFileReader::new(bytes::Bytes::from(file)).unwrap();
    let about = reader.metadata().file_metadata();
    assert_eq!(about.created_by(), Some("millpond report version 1"));
    let key = |key: &str| {
        let pairs = about.key_value_metadata().unwrap();
        pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone()).unwrap()
    };
    assert_eq!(serde_json::from_str::<millpond_report::Head>(&key("millpond.head")).unwrap(), head());
    let columns: Value = serde_json::from_str(&key("millpond.table")).unwrap();
    assert_eq!(columns["columns"].as_array().unwrap().len(), table.columns().len());
    let mut read = 0;
    for (at, row) in reader.get_row_iter(None).unwrap().enumerate() {
        for ((title, field), column) in row.unwrap().into_columns().iter().zip(table.columns()) {
            assert_eq!(title, column.name().as_str());
            assert!(same(field, column.cell(at)), "row {at}, {title}: {field:?} for {:?}", column.cell(at));
        }
        read += 1;
    }
    assert_eq!(read, table.rows());
}

#[test]
fn parquet_is_read_back_to_the_bit() {
    for table in tables() {
        assert_parquet_holds(&table);
    }
    assert_parquet_holds(
        &Table::new(name("nothing"), "", vec![Column::new(name("a"), "", "", Vec::<u64>::new())]).unwrap(),
    );
}

#[test]
fn parquet_of_more_rows_than_one_group_has_is_read_back() {
    let rows = 600_000_u64;
    let columns = vec![
        Column::new(name("seq"), "", "", (0..rows).collect()),
        Column::optional(name("odd"), "", "", (0..rows).map(|x| (x % 3 == 0).then_some(x as f64)).collect()),
    ];
    assert_parquet_holds(&Table::new(name("many"), "", columns).unwrap());
}

#[test]
fn csv_is_read_back_with_what_it_is_in_a_file_beside_it() {
    let table = kinds();
    let rows = written(|out| write_csv(&table, out));
    let mut reader = csv::Reader::from_reader(rows.as_slice());
    let titles: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(titles, table.columns().iter().map(|column| column.name().to_string()).collect::<Vec<_>>());
    let mut read = 0;
    for (at, record) in reader.records().enumerate() {
        for (field, column) in record.unwrap().iter().zip(table.columns()) {
            assert_eq!(field, column.cell(at).map(|cell| cell.text().into_owned()).unwrap_or_default());
        }
        read += 1;
    }
    assert_eq!(read, table.rows());

    let about: Value = serde_json::from_slice(&written(|out| write_csv_head(&head(), &table, out))).unwrap();
    assert_eq!(about["head"]["seed"], u64::MAX);
    assert_eq!(
        about["columns"][0],
        serde_json::json!({
            "name": "count", "kind": "u64", "optional": false, "unit": "shares", "says": "How many.",
        })
    );
    assert_eq!(about["columns"][7]["says"], HOSTILE);
}

/// What JSON has for a value.
fn json(cell: Option<Cell<'_>>) -> Value {
    match cell {
        None => Value::Null,
        Some(Cell::U64(value)) => value.into(),
        Some(Cell::I64(value)) => value.into(),
        Some(Cell::F64(value)) if value.is_finite() => value.into(),
        Some(other) => other.text().into(),
    }
}

#[test]
fn json_is_read_back_with_each_value_as_it_was() {
    let table = kinds();
    let read: Value = serde_json::from_slice(&written(|out| write_json(&head(), &table, out))).unwrap();
    assert_eq!(read["about"]["head"], serde_json::to_value(head()).unwrap());
    let rows = read["rows"].as_array().unwrap();
    assert_eq!(rows.len(), table.rows());
    for (at, row) in rows.iter().enumerate() {
        let written: Vec<Value> = table.columns().iter().map(|column| json(column.cell(at))).collect();
        assert_eq!(row, &Value::Array(written));
    }
}

#[test]
fn the_page_is_well_formed_runs_nothing_and_fetches_nothing() {
    let tables = tables();
    let page = String::from_utf8(written(|out| write_html(&head(), &page(&tables), out))).unwrap();
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&page, options).unwrap();
    let known = [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "section",
        "h1",
        "h2",
        "p",
        "figure",
        "figcaption",
        "strong",
        "svg",
        "desc",
        "g",
        "path",
        "text",
        "polyline",
        "polygon",
        "circle",
        "rect",
        "ul",
        "li",
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "small",
        "dl",
        "dt",
        "dd",
    ];
    let mut ids = std::collections::BTreeSet::new();
    for node in document.descendants().filter(|node| node.is_element()) {
        assert!(known.contains(&node.tag_name().name()), "{:?}", node.tag_name());
        for attribute in node.attributes() {
            let name = attribute.name();
            assert!(
                !name.starts_with("on") && !["src", "href", "style", "action"].contains(&name),
                "{attribute:?}"
            );
            assert!(name != "id" || ids.insert(attribute.value()), "two of {attribute:?}");
        }
    }
    let style = document.descendants().find(|node| node.has_tag_name("style")).unwrap().text().unwrap();
    assert!(!style.contains("url(") && !style.contains("@import"));
    assert_eq!(document.descendants().filter(|node| node.has_tag_name("figure")).count(), 5);
    // A text of others is there as a text, and without what would turn it around.
    let shown = HOSTILE.replace(['\u{202E}', '\u{0}'], "\u{FFFD}");
    for element in ["td", "dd", "dt", "p", "desc"] {
        let texts =
            document.descendants().filter(|node| node.has_tag_name(element)).filter_map(|node| node.text());
        assert!(texts.into_iter().any(|text| text == shown), "{element}");
    }
    assert!(page.contains("The first 100 of 1600 rows. The files named paths have all."));
}

/// What the outputs of this result were when they were last meant to change.
const GOLDEN: [&str; 5] = [
    "parquet 2eb98d770ae2",
    "csv c58639dcfbaa",
    "csv.json ef3d6d61e658",
    "json 0be486c6f775",
    "html 7d1377b4e82c",
];

#[test]
fn the_same_result_is_the_same_bytes_on_any_machine() {
    let tables = tables();
    let (kinds, page) = (&tables[0], page(&tables));
    let digests = [
        ("parquet", written(|out| write_parquet(&head(), kinds, out))),
        ("csv", written(|out| write_csv(kinds, out))),
        ("csv.json", written(|out| write_csv_head(&head(), kinds, out))),
        ("json", written(|out| write_json(&head(), kinds, out))),
        ("html", written(|out| write_html(&head(), &page, out))),
    ]
    .map(|(what, bytes)| format!("{what} {}", Digest::of(&bytes).short()));
    assert_eq!(digests, GOLDEN);
}

#[test]
fn a_folder_has_whole_files_only_and_no_file_of_two_tables() {
    // Stays there to be looked at.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    let tables = tables();
    let page = page(&tables);
    let files = write_folder(&folder, &Format::ALL, &head(), &tables, &page).unwrap();
    assert_eq!(files.len(), 4 * tables.len() + 1);
    let listed = || {
        let mut listed: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        listed.sort();
        listed
    };
    let mut sorted = files.clone();
    sorted.sort();
    assert_eq!(listed(), sorted);
    assert_eq!(std::fs::read(&files[0]).unwrap(), written(|out| write_parquet(&head(), &tables[0], out)));

    let twice = [tables[0].clone(), tables[0].clone()];
    let refused = write_folder(&folder, &[Format::Csv], &head(), &twice, &page).unwrap_err();
    assert_eq!(refused.to_string(), "two tables are named `kinds`: rename one");
    let nowhere = folder.join("kinds.csv");
    let refused = write_folder(&nowhere, &[Format::Csv], &head(), &tables, &page).unwrap_err();
    assert!(refused.to_string().starts_with(&format!("{}: ", nowhere.display())), "{refused}");
}

#[test]
fn formats_are_read_by_their_names() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    let refused = "xlsx".parse::<Format>().unwrap_err();
    assert_eq!(refused.to_string(), "there is no output \"xlsx\": use parquet, csv, json or html");
}

#[test]
fn the_snippet_of_the_documentation_reads_the_same_values() {
    let Some(python) = std::env::var_os("MILLPOND_PYARROW") else {
        eprintln!("not run: reading by pyarrow needs MILLPOND_PYARROW=PYTHON, a python that has it");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let table = kinds();
    write_folder(folder.path(), &[Format::Parquet], &head(), std::slice::from_ref(&table), &page(&tables()))
        .unwrap();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    // Bits of floats, since JSON has no NaN.
    let script = "import json, struct, sys; sys.path.insert(0, sys.argv[1]); import notebook\n\
                  head, about, table = notebook.read(sys.argv[2])\n\
                  bits = lambda x: struct.pack('>d', x).hex() if isinstance(x, float) else x\n\
                  rows = [[bits(x) for x in row.values()] for row in table.to_pylist()]\n\
                  print(json.dumps([head, [column['unit'] for column in about['columns']], rows]))";
    let out = Command::new(python)
        .args(["-B", "-c", script])
        .args([docs.as_os_str(), folder.path().join("kinds.parquet").as_os_str()])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let cell = |cell: Option<Cell<'_>>| match cell {
        Some(Cell::F64(value)) => format!("{:016x}", value.to_bits()).into(),
        other => json(other),
    };
    let rows: Vec<Vec<Value>> = (0..table.rows())
        .map(|row| table.columns().iter().map(|column| cell(column.cell(row))).collect())
        .collect();
    let units: Vec<&str> = table.columns().iter().map(Column::unit).collect();
    assert_eq!(
        serde_json::from_slice::<Value>(&out.stdout).unwrap(),
        serde_json::json!([head(), units, rows])
    );
}
