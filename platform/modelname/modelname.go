// Package modelname finds the model that a request asks for, whatever state the request is in. It is for records of refused calls.
package modelname

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
)

const (
	// maxFormFields bounds the fields of a form that are read, as for a call, and maxModel the name of a model, in bytes.
	maxFormFields, maxModel = 64, 128
	// modelField is the member of an object, and the field of a form, that names the model.
	modelField = "model"
)

// Of returns the model that a request's body names, also when the body is broken or incomplete; "" when it names none, or one
// with a name that is too long. kind is the Content-Type of the request.
func Of(kind string, body []byte) string {
	media, params, err := mime.ParseMediaType(kind)
	if err == nil && media == "multipart/form-data" {
		return modelOfForm(params["boundary"], body)
	}
	return modelOfJSON(body)
}

// modelOfJSON looks for the member of the outermost object. Of several, the last one counts, as for most parsers.
func modelOfJSON(body []byte) (model string) {
	depth := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			end := endOfString(body, i+1)
			if depth == 1 && end < len(body) && string(body[i+1:end]) == modelField {
				if name, ok := valueAfter(body[end+1:]); ok {
					model = name
				}
			}
			i = end
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
	}
	return model
}

// valueAfter returns the text that follows the name of a member.
func valueAfter(rest []byte) (value string, ok bool) {
	const space = " \t\r\n"
	rest, ok = bytes.CutPrefix(bytes.TrimLeft(rest, space), []byte{':'})
	rest = bytes.TrimLeft(rest, space)
	if !ok || len(rest) == 0 || rest[0] != '"' {
		return "", false
	}
	end := endOfString(rest, 1)
	if end >= len(rest) || json.Unmarshal(rest[:end+1], &value) != nil || len(value) > maxModel {
		return "", false
	}
	return value, true
}

func modelOfForm(boundary string, body []byte) string {
	form := multipart.NewReader(bytes.NewReader(body), boundary)
	for range maxFormFields {
		part, err := form.NextRawPart()
		if err != nil {
			return ""
		}
		if part.FormName() != modelField || part.FileName() != "" {
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, maxModel+1))
		if err != nil || len(value) > maxModel {
			return ""
		}
		return string(value)
	}
	return ""
}

// endOfString returns where the string ends whose text begins at i.
func endOfString(body []byte, i int) int {
	for {
		n := bytes.IndexByte(body[i:], '"')
		if n < 0 {
			return len(body)
		}
		end, escapes := i+n, 0
		for end-escapes > i && body[end-escapes-1] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return end
		}
		i = end + 1
	}
}
