package relay

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/url"

	aiv1 "github.com/trivet-dev/trivet/gen/go/trivet/ai/v1"
)

const (
	// maxParts bounds the fields of a form that are read, as the ai service does, and maxField the value of one, in bytes.
	maxParts, maxField = 64, 16
	// streamField and formatField are the fields of a form that decide about a stream.
	streamField, formatField = "stream", "response_format"
)

// mayStream reports whether a request may ask for a stream; other responses need no reading ahead. A body of JSON that hides the
// name in escapes is still streamed piece by piece, but without keep-alive comments.
func mayStream(in *aiv1.RelayRequest) bool {
	switch {
	case in.GetEndpoint() == aiv1.Endpoint_ENDPOINT_RESPONSE_GET:
		return queryWantsStream(in.GetQuery())
	case isForm(in):
		return bytes.Contains(in.GetBody(), []byte(streamField))
	case in.GetEndpoint() == aiv1.Endpoint_ENDPOINT_AUDIO_SPEECH:
		return bytes.Contains(in.GetBody(), []byte(`"stream_format"`))
	default:
		return bytes.Contains(in.GetBody(), []byte(`"stream"`))
	}
}

// wantsStream parses the body. It is called only when a response is late.
func wantsStream(in *aiv1.RelayRequest) bool {
	if in.GetEndpoint() == aiv1.Endpoint_ENDPOINT_RESPONSE_GET {
		return queryWantsStream(in.GetQuery())
	}
	if isForm(in) {
		return formWantsStream(in.GetHeaders()["content-type"], in.GetBody())
	}
	var wish struct {
		Stream bool   `json:"stream"`
		Format string `json:"stream_format"`
	}
	if json.Unmarshal(in.GetBody(), &wish) != nil {
		return false
	}
	if in.GetEndpoint() == aiv1.Endpoint_ENDPOINT_AUDIO_SPEECH {
		return wish.Format == "sse"
	}
	return wish.Stream
}

// queryWantsStream reads the query of a request for a stored response.
func queryWantsStream(query string) bool {
	values, err := url.ParseQuery(query)
	return err == nil && values.Get(streamField) == "true"
}

// isForm reports whether the body of a request is a form with files.
func isForm(in *aiv1.RelayRequest) bool {
	switch in.GetEndpoint() {
	case aiv1.Endpoint_ENDPOINT_IMAGES_EDITS, aiv1.Endpoint_ENDPOINT_AUDIO_TRANSCRIPTIONS, aiv1.Endpoint_ENDPOINT_AUDIO_TRANSLATIONS:
		return true
	default:
		return false
	}
}

// formWantsStream reads the fields of a form. A transcript as a text may come in one piece although a stream was asked for, so it
// gets no early head.
func formWantsStream(contentType string, body []byte) (stream bool) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	form := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for range maxParts {
		part, err := form.NextRawPart()
		if err != nil {
			return stream
		}
		switch part.FormName() {
		case streamField:
			stream = fieldOf(part) == "true"
		case formatField:
			switch fieldOf(part) {
			case "text", "srt", "vtt":
				return false
			}
		}
	}
	return stream
}

// fieldOf returns the beginning of a field's value.
func fieldOf(part io.Reader) string {
	value, err := io.ReadAll(io.LimitReader(part, maxField))
	if err != nil {
		return ""
	}
	return string(value)
}
