package wire

import (
	"bytes"
	"mime"
	"net/textproto"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	// maxFormParts bounds the parts of a form, and maxPartHeader the header of one, in bytes.
	maxFormParts, maxPartHeader = 64, 8 << 10
	// maxFieldText bounds a field of a form that is not a file, in bytes.
	maxFieldText = 256 << 10
)

// formPart is a field of a form; its content lies in the body.
type formPart struct {
	name, kind string
	file       bool
	content    span
}

// plainBoundary are the boundaries that all servers read in the same way: without anything that could be quoted.
var plainBoundary = regexp.MustCompile(`^[0-9A-Za-z_.+=-]{1,70}$`)

// formBoundary returns the boundary of a form, and the Content-Type that says it and nothing else: servers read backslashes, a second
// boundary and the charset of names in different ways.
func formBoundary(contentType string) (boundary, plain string, err error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if boundary = params["boundary"]; err != nil || kind != "multipart/form-data" || !plainBoundary.MatchString(boundary) {
		return "", "", malformed("The Content-Type must be multipart/form-data with a boundary of letters, digits and the characters \"_.+=-\".")
	}
	return boundary, mime.FormatMediaType(kind, map[string]string{"boundary": boundary}), nil
}

// readForm finds the parts of a body of the type multipart/form-data. It is strict: servers read sloppy forms in different
// ways, and the provider must see what was checked.
func readForm(boundary string, body []byte) ([]formPart, error) {
	mark := []byte("--" + boundary)
	if !bytes.HasPrefix(body, mark) {
		return nil, malformed("The form does not begin with its boundary.")
	}
	var parts []formPart
	for at := len(mark); ; {
		rest := body[at:]
		if bytes.HasPrefix(rest, []byte("--")) {
			if len(bytes.TrimSpace(rest[2:])) > 0 {
				return nil, malformed("The form has bytes after its end.")
			}
			return parts, nil
		}
		if !bytes.HasPrefix(rest, []byte("\r\n")) || len(parts) == maxFormParts {
			return nil, malformed("The form is broken, or has more than 64 fields.")
		}
		part, next, err := readPart(body, at+2, mark)
		if err != nil {
			return nil, err
		}
		parts, at = append(parts, part), next
	}
}

// readPart reads the part that begins at an offset, and returns where its closing boundary ends.
func readPart(body []byte, at int, mark []byte) (p formPart, next int, err error) {
	size := bytes.Index(body[at:min(len(body), at+maxPartHeader)], []byte("\r\n\r\n"))
	if size < 0 {
		return p, 0, malformed("A field of the form has no header, or one that is too long.")
	}
	header := string(body[at : at+size])
	if p, err = partOf(header); err != nil {
		return p, 0, err
	}
	p.content.start = at + size + len("\r\n\r\n")
	// Some servers end lines without a carriage return, so that no such line may look like a boundary.
	found := bytes.Index(body[p.content.start:], append([]byte("\n"), mark...))
	end := p.content.start + found - 1
	if found < 1 || body[end] != '\r' {
		return p, 0, malformed("The form is cut off, or its boundary occurs within a field.")
	}
	p.content.end = end
	return p, end + len("\r\n") + len(mark), nil
}

// broken reports whether servers read the header of a part in different ways: with other ends of lines than CRLF, with bytes
// that end a text, or with lines that continue the one before.
func broken(header string) bool {
	lines := "\r\n" + header
	return strings.ContainsAny(strings.ReplaceAll(header, "\r\n", ""), "\r\n\x00") || strings.Contains(lines, "\r\n ") || strings.Contains(lines, "\r\n\t")
}

// plainField are the values of Content-Disposition in which all servers read the same name.
var plainField = regexp.MustCompile(`(?i)^form-data *; *name=("[^"\\;]*"|[^" \\;]*)$`)

var quoted = regexp.MustCompile(`"[^"]*"`)

// unquoted is a header's value without its quoted texts. Servers read a backslash in them in different ways, so that a value with
// one stays as it is.
func unquoted(value string) string {
	if strings.Contains(value, `\`) {
		return value
	}
	return quoted.ReplaceAllString(value, `""`)
}

// hidesName reports whether a server that cuts a header at each semicolon, also within quotes, could read another name of the field.
func hidesName(value string) bool {
	names := 0
	for piece := range strings.SplitSeq(value, ";") {
		key, _, _ := strings.Cut(piece, "=")
		switch strings.ToLower(strings.Trim(key, " \t\"\\")) {
		case "name", "name*":
			names++
		}
	}
	return names > 1
}

func partOf(header string) (p formPart, err error) {
	if broken(header) {
		return p, malformed("A field of the form has a broken header.")
	}
	for line := range strings.SplitSeq(header, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		switch textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)) {
		case "Content-Disposition":
			kind, params, err := mime.ParseMediaType(strings.TrimSpace(value))
			lower := strings.ToLower(unquoted(value))
			if err != nil || kind != "form-data" || p.name != "" || params["name"] == "" || strings.Contains(lower, "name*") && !strings.Contains(lower, "filename*") ||
				strings.Count(lower, "name*") > 1 || !utf8.ValidString(params["name"]) || len(params["name"]) > 128 {
				return p, malformed("A field of the form has no name, or more than one.")
			}
			if hidesName(value) {
				return p, malformed("The name of a file in the form contains \"; name\", which servers read in different ways. Rename the file.")
			}
			p.name = params["name"]
			if _, p.file = params["filename"]; !p.file && !plainField.MatchString(strings.TrimSpace(value)) {
				return p, malformed("A field of the form that is not a file must have a name without quotes, backslashes and semicolons, and nothing else.")
			}
		case "Content-Type":
			p.kind = strings.TrimSpace(value)
		case "Content-Transfer-Encoding":
			if v := strings.ToLower(strings.TrimSpace(value)); v != "binary" && v != "8bit" && v != "7bit" {
				return p, malformed("A field of the form has a transfer encoding. Send its bytes as they are.")
			}
		}
	}
	if p.name == "" {
		return p, malformed("A field of the form has no name.")
	}
	return p, nil
}
