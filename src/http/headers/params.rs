//! `value; name=token; name="quoted"`: the form of Content-Type and Content-Disposition. Over bytes, because file names in the
//! headers of a multipart part are in whatever encoding the client likes.

/// Names in lower case, and values.
pub type Params = Vec<(String, Vec<u8>)>;

/// The value before the first `;` without blanks, and its parameters in order. `None` if a quoted string does not end.
pub fn parse(header: &[u8]) -> Option<(&[u8], Params)> {
    let end = header.iter().position(|&b| b == b';').unwrap_or(header.len());
    let value = header[..end].trim_ascii();
    let mut rest = &header[end..];
    let mut found = Params::new();
    while let Some((_, after)) = rest.split_first() {
        let name_end = after.iter().position(|b| matches!(b, b'=' | b';')).unwrap_or(after.len());
        let name = String::from_utf8_lossy(after[..name_end].trim_ascii()).to_ascii_lowercase();
        rest = &after[name_end..];
        let mut text = Vec::new();
        if let Some(after) = rest.strip_prefix(b"=") {
            let after = after.trim_ascii_start();
            (text, rest) = match after.strip_prefix(b"\"") {
                Some(quoted) => unquote(quoted)?,
                None => token(after),
            };
        }
        if !name.is_empty() {
            found.push((name, text));
        }
        // Whatever stands between a quoted string and the next `;` means nothing.
        let next = rest.iter().position(|&b| b == b';').unwrap_or(rest.len());
        rest = &rest[next..];
    }
    Some((value, found))
}

/// The value of a parameter.
pub fn get<'a>(params: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
    params.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_slice())
}

fn token(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let end = text.iter().position(|&b| b == b';').unwrap_or(text.len());
    (text[..end].trim_ascii().to_vec(), &text[end..])
}

fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut plain = Vec::new();
    let mut bytes = text.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => return Some((plain, &text[at + 1..])),
            // Only a quote and a backslash are escaped: old browsers send Windows paths as they are.
            b'\\' if matches!(text.get(at + 1), Some(b'"' | b'\\')) => {
                let (_, &escaped) = bytes.next()?;
                plain.push(escaped);
            }
            byte => plain.push(byte),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(header: &str) -> Option<(String, Vec<(String, String)>)> {
        let (value, params) = parse(header.as_bytes())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some((text(value), params.into_iter().map(|(n, v)| (n, text(&v))).collect()))
    }

    #[test]
    fn quoted_and_bare_values() {
        for (header, value, params) in [
            ("form-data", "form-data", vec![]),
            ("form-data; name=a", "form-data", vec![("name", "a")]),
            (
                "form-data;name=\"a;filename=x\" ; FileName = \"b\"",
                "form-data",
                vec![("name", "a;filename=x"), ("filename", "b")],
            ),
            (r#"f; filename="a\"b\\c""#, "f", vec![("filename", r#"a"b\c"#)]),
            (r#"f; filename="C:\dir\x""#, "f", vec![("filename", r"C:\dir\x")]),
            ("f; filename=\"\"; name=", "f", vec![("filename", ""), ("name", "")]),
            ("f;;  ;a", "f", vec![("a", "")]),
        ] {
            let params = params.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
            assert_eq!(read(header), Some((value.to_owned(), params)), "{header}");
        }
        assert_eq!(read("f; filename=\"open"), None);
        assert_eq!(read("f; filename=\"open\\\""), None);
    }

    proptest! {
        #[test]
        fn a_quoted_value_comes_back(value in "[^\\x00-\\x1f]{0,30}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("form-data; x=1; filename=\"{escaped}\"; y=2");
            let (_, params) = parse(header.as_bytes()).unwrap();
            prop_assert_eq!(get(&params, "filename"), Some(value.as_bytes()));
            prop_assert_eq!(get(&params, "y"), Some(b"2".as_slice()));
        }

        #[test]
        fn no_bytes_break_it(bytes: Vec<u8>) {
            if let Some((value, params)) = parse(&bytes) {
                prop_assert!(value.len() + params.len() <= bytes.len() + 1);
            }
        }
    }
}
