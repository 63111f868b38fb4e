package email

import (
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// read turns a message into what is kept of it.
func (s *session) read(m *mail.Message) Mail {
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		subject = m.Header.Get("Subject")
	}
	out := Mail{
		From: s.from, To: s.to, Subject: subject, MessageID: m.Header.Get("Message-ID"), Unsubscribe: m.Header.Get("List-Unsubscribe"), Encrypted: s.encrypted,
	}
	out.parts(textproto.MIMEHeader(m.Header), m.Body)
	return out
}

// parts reads the text and the HTML of a body. What cannot be read is left out.
func (m *Mail) parts(header textproto.MIMEHeader, body io.Reader) {
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") {
		reader := multipart.NewReader(body, params["boundary"])
		for {
			part, err := reader.NextRawPart()
			if err != nil {
				return
			}
			m.parts(part.Header, part)
		}
	}
	switch strings.ToLower(header.Get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	raw, err := io.ReadAll(body) // the mail has been read whole before, and its size is bounded
	if err != nil {
		return
	}
	text := strings.ReplaceAll(string(raw), "\r\n", "\n")
	switch kind {
	case "text/html":
		m.HTML = text
	case "text/plain":
		m.Text = text
	}
}
