package email

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/mail"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/trivet-dev/trivet/sandbox/fault"
)

// patience is how long a client may be silent.
const patience = 2 * time.Minute

// errEnd ends a connection.
var errEnd = errors.New("the connection ends")

// session is one connection.
type session struct {
	fake      *Fake
	ctx       context.Context //nolint:containedctx // it lives as long as the connection
	conn      net.Conn
	text      *textproto.Conn
	encrypted bool
	signedIn  bool
	from      string
	to        []string
}

func (s *session) use(conn net.Conn) {
	s.conn, s.text = conn, textproto.NewConn(conn)
	_, s.encrypted = conn.(*tls.Conn)
}

func (s *session) run() {
	if s.do("connect", func() error { return s.say("220 trivet-sandbox ESMTP") }) != nil {
		return
	}
	for {
		_ = s.conn.SetDeadline(time.Now().Add(patience))
		line, err := s.text.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		if s.command(strings.ToUpper(verb), rest) != nil {
			return
		}
	}
}

func (s *session) say(lines ...string) error {
	for _, line := range lines {
		if err := s.text.PrintfLine("%s", line); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) command(verb, rest string) error {
	switch verb {
	case "EHLO", "HELO":
		return s.do("ehlo", s.hello)
	case "STARTTLS":
		return s.startTLS()
	case "AUTH":
		return s.do("auth", func() error { return s.auth(rest) })
	case "MAIL":
		return s.do("mail", func() error { return s.begin(rest) })
	case "RCPT":
		return s.do("rcpt", func() error { return s.recipient(rest) })
	case "DATA":
		return s.data()
	case "RSET":
		s.from, s.to = "", nil
		return s.say("250 2.0.0 forgotten")
	case "NOOP":
		return s.say("250 2.0.0 here")
	case "QUIT":
		_ = s.say("221 2.0.0 bye")
		return errEnd
	default:
		return s.say("502 5.5.1 unknown command")
	}
}

// do runs a command, or the fault that strikes at it.
func (s *session) do(name string, run func() error) error {
	plan := s.fake.faults.Take((&http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/" + name}}).WithContext(s.ctx))
	if !s.pause(plan.Delay) {
		return errEnd
	}
	if plan.Fault == nil {
		return run()
	}
	switch plan.Fault.Kind {
	case fault.Status:
		return s.refuse(name, plan.Fault.Status, plan.Fault.Body)
	case fault.RateLimit:
		return s.refuse(name, 450, plan.Fault.Body)
	case fault.Hang:
		s.silent(nil, plan.Cleared)
	case fault.CommitTimeout:
		s.text.W.Reset(io.Discard) // the command takes effect, and its reply is lost
		_ = run()
		s.silent(time.After(plan.Fault.Delay), plan.Cleared)
	default: // the others cut the connection
	}
	return errEnd
}

// refuse replies with a code, and with a text that may begin with an enhanced status code.
func (s *session) refuse(name string, code int, text string) error {
	if line, _, _ := strings.Cut(strings.ReplaceAll(text, "\r", "\n"), "\n"); line != "" {
		return s.say(itoa(code) + " " + line)
	}
	status := "5.0.0"
	switch {
	case code < 500:
		status = "4.0.0"
	case name == "rcpt" && code == 550:
		status = "5.1.1"
	}
	return s.say(strings.Join([]string{itoa(code), status, "the sandbox was told to refuse this"}, " "))
}

func (s *session) hello() error {
	lines := []string{"250-trivet-sandbox", "250-8BITMIME", "250-ENHANCEDSTATUSCODES", "250-SIZE 1048576"}
	if s.fake.config.TLS != nil && !s.encrypted {
		lines = append(lines, "250-STARTTLS")
	}
	if s.fake.config.Username != "" && s.encrypted {
		lines = append(lines, "250-AUTH PLAIN")
	}
	return s.say(append(lines, "250 SMTPUTF8")...)
}

func (s *session) startTLS() error {
	if s.fake.config.TLS == nil || s.encrypted {
		return s.say("502 5.5.1 not offered")
	}
	if err := s.say("220 2.0.0 go ahead"); err != nil {
		return err
	}
	secure := tls.Server(s.conn, s.fake.config.TLS)
	if err := secure.HandshakeContext(s.ctx); err != nil {
		return err
	}
	s.use(secure)
	return nil
}

func (s *session) auth(rest string) error {
	mechanism, initial, _ := strings.Cut(rest, " ")
	if !strings.EqualFold(mechanism, "PLAIN") || !s.encrypted {
		return s.say("504 5.5.4 use PLAIN after STARTTLS")
	}
	if initial == "" {
		if err := s.say("334 "); err != nil {
			return err
		}
		var err error
		if initial, err = s.text.ReadLine(); err != nil {
			return err
		}
	}
	raw, err := base64.StdEncoding.DecodeString(initial)
	if err != nil || string(raw) != "\x00"+s.fake.config.Username+"\x00"+s.fake.config.Password {
		return s.say("535 5.7.8 wrong user or password")
	}
	s.signedIn = true
	return s.say("235 2.7.0 welcome")
}

func (s *session) begin(rest string) error {
	if s.fake.config.Username != "" && !s.signedIn {
		return s.say("530 5.7.0 sign in first")
	}
	address, ok := address(rest, "FROM:")
	if !ok {
		return s.say("501 5.1.7 write MAIL FROM:<address>")
	}
	s.from, s.to = address, nil
	return s.say("250 2.1.0 ok")
}

func (s *session) recipient(rest string) error {
	address, ok := address(rest, "TO:")
	switch {
	case s.from == "":
		return s.say("503 5.5.1 MAIL comes first")
	case !ok:
		return s.say("501 5.1.3 write RCPT TO:<address>")
	}
	s.to = append(s.to, address)
	return s.say("250 2.1.5 ok")
}

// address reads the address of a command.
func address(rest, prefix string) (string, bool) {
	if len(rest) < len(prefix) || !strings.EqualFold(rest[:len(prefix)], prefix) {
		return "", false
	}
	text, _, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(rest[len(prefix):]), "<"), ">")
	return text, ok && text != ""
}

func (s *session) data() error {
	if len(s.to) == 0 {
		return s.say("503 5.5.1 RCPT comes first")
	}
	if err := s.say("354 end with a dot"); err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(s.text.DotReader(), maxSize+1))
	if err != nil {
		return err
	}
	if len(raw) > maxSize {
		_ = s.say("552 5.3.4 larger than 1 MiB")
		return errEnd
	}
	return s.do("data", func() error {
		parsed, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			return s.say("554 5.6.0 not a mail")
		}
		s.fake.keep(s.read(parsed))
		s.from, s.to = "", nil
		return s.say("250 2.0.0 taken")
	})
}
