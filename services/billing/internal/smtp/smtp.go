// Package smtp sends mails. It is the only importer of the mail library.
package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/mail"
	"strconv"
	"sync/atomic"
	"time"

	sdk "github.com/wneessen/go-mail"

	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/platform/provider"
	"github.com/trivet-dev/trivet/platform/settings"
)

// The values of Config.TLS.
const (
	// StartTLS asks the server to encrypt after its greeting, and sends nothing to a server that does not.
	StartTLS = "starttls"
	// Implicit encrypts from the first byte, as on port 465.
	Implicit = "tls"
	// Plain does not encrypt. It is for a server on this machine.
	Plain = "none"
)

const (
	dialTime = 5 * time.Second
	// timeout bounds one attempt.
	timeout = 20 * time.Second
)

// Config says how the server is reached.
type Config struct {
	// Addr is the server's host:port.
	Addr string
	// TLS is StartTLS, Implicit or Plain.
	TLS string
	// Username signs in with the password; "" does not sign in.
	Username string
	Password *settings.Live
	// From is the sender, and ReplyTo gets replies and requests to unsubscribe; it may be empty.
	From, ReplyTo string
	// Calls counts, limits and logs the calls.
	Calls *provider.Transport
	// Health records how the server is.
	Health *health.Provider
	// TLSConfig replaces the default, such as in tests; nil trusts the system's certificates.
	TLSConfig *tls.Config
}

// Client sends mails, each by a connection of its own.
type Client struct {
	Config
	host       string
	port       int
	recipients *recipients
	// refusing says that the server refused the last mail for a reason that concerns every mail, which a check does not find.
	refusing atomic.Bool
}

// New makes a client. It makes no call. Its errors are about Addr, From and ReplyTo.
func New(c Config) (*Client, error) {
	host, port, err := SplitAddr(c.Addr)
	if err != nil {
		return nil, err
	}
	if _, err := mail.ParseAddress(c.From); err != nil {
		return nil, errors.New("the sender is not a mail address")
	}
	if _, err := mail.ParseAddress(c.ReplyTo); c.ReplyTo != "" && err != nil {
		return nil, errors.New("the address for replies is not a mail address")
	}
	return &Client{Config: c, host: host, port: port, recipients: newRecipients()}, nil
}

// SplitAddr splits host:port.
func SplitAddr(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return "", 0, errors.New("is not host:port")
	}
	const maxPort = 65535
	port, err = strconv.Atoi(text)
	if err != nil || port < 1 || port > maxPort {
		return "", 0, errors.New("has no port from 1 to 65535")
	}
	return host, port, nil
}

// Mail is what is sent.
type Mail struct {
	// ID is the part of the Message-ID before the @: the same for each attempt, so that a mail that comes twice can be recognized.
	ID                      string
	To, Subject, Text, HTML string
	Date                    time.Time
}

// Send sends a mail. It returns nil once the server has taken it. Errors: *Error, and those of the provider's transport. They show no address.
func (c *Client) Send(ctx context.Context, m Mail) error {
	message, err := c.message(m)
	if err != nil {
		return &Error{Stage: "address", Permanent: true, cause: err}
	}
	return c.do(ctx, "send", m.To, func(client *sdk.Client) error {
		err := client.Send(message)
		if message.IsDelivered() { // the reply to what follows says nothing about the mail
			c.recipients.accept()
			return nil
		}
		return err
	})
}

// Check connects, encrypts and signs in. It sends no mail, so that Health stays as it is while the server refuses every mail.
func (c *Client) Check(ctx context.Context) error {
	return c.do(ctx, "check", "", func(*sdk.Client) error { return nil })
}

// Probe tells Health how the server is.
func (c *Client) Probe(ctx context.Context) { _ = c.Check(ctx) }

// do has an attempt: it connects, runs fn, and says goodbye. to is the recipient, if there is one.
func (c *Client) do(ctx context.Context, method, to string, fn func(*sdk.Client) error) error {
	err := c.Calls.Do(ctx, method, func(ctx context.Context) (*provider.Reply, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		err := c.attempt(ctx, fn)
		if err == nil {
			const done = 250
			return &provider.Reply{Code: done}, nil
		}
		told := explain(ctx, err)
		switch {
		case told.doubtful:
			told.Single = c.recipients.refuse(to)
		case told.Stage == "data": // the text comes after the recipient was accepted
			c.recipients.accept()
		}
		return told.reply(), told
	})
	c.note(ctx, to == "", err)
	return err
}

// attempt makes a connection and uses it. The connection ends with ctx, because the library looks at ctx only while it dials.
func (c *Client) attempt(ctx context.Context, fn func(*sdk.Client) error) error {
	ended, end := context.WithCancel(ctx)
	defer end() // the library leaves the connection open when the greeting, TLS or the password fails
	client, err := sdk.NewClient(c.host, c.options(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := c.dial(ctx, network, address)
		if err == nil {
			context.AfterFunc(ended, func() { _ = conn.Close() })
		}
		return conn, err
	})...)
	if err != nil {
		return err
	}
	if err := client.DialWithContext(ctx); err != nil {
		return err
	}
	if err := fn(client); err != nil {
		return err
	}
	_ = client.Close() // what was to be done is done
	return nil
}

func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTime}
	if c.TLS == Implicit {
		return (&tls.Dialer{NetDialer: dialer, Config: c.tls()}).DialContext(ctx, network, address)
	}
	return dialer.DialContext(ctx, network, address)
}

func (c *Client) tls() *tls.Config {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSConfig != nil {
		config = c.TLSConfig.Clone()
	}
	config.ServerName = c.host
	return config
}

func (c *Client) options(dial sdk.DialContextFunc) []sdk.Option {
	policy := sdk.TLSMandatory
	if c.TLS != StartTLS {
		policy = sdk.NoTLS
	}
	options := []sdk.Option{
		sdk.WithPort(c.port), sdk.WithTimeout(timeout), sdk.WithTLSPolicy(policy), sdk.WithTLSConfig(c.tls()), sdk.WithDialContextFunc(dial), sdk.WithoutNoop(),
	}
	if c.Username != "" {
		options = append(options, c.auth()...)
	}
	return options
}

// note tells Health how the call went. A call that was not made, or whose caller left, says nothing, and so does a good check while every mail is refused.
func (c *Client) note(ctx context.Context, check bool, err error) {
	told, ok := errors.AsType[*Error](err)
	switch {
	case err == nil && check && c.refusing.Load():
		c.Health.Same()
	case err == nil && check:
		c.Health.Good()
	case err == nil || ok && told.answers():
		c.refusing.Store(false)
		c.Health.Good()
	case ok && ctx.Err() == nil:
		if !check {
			c.refusing.Store(told.Code >= 500 && told.Stage != "connect")
		}
		c.Health.Bad()
	}
}
