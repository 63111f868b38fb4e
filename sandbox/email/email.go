// Package email is a mail server that delivers nothing: it keeps the mails that it takes by SMTP, and shows them.
//
// Faults strike at an SMTP command. Their path is /connect, /ehlo, /auth, /mail, /rcpt or /data, in lower case; /data is the end of a mail's text.
// A status of 4xx or 5xx is the code of the reply, and the body its text, such as "5.7.1 Sender rejected"; rate_limit replies 450 as a server that
// greylists does; close cuts the connection before the command has an effect, commit_timeout after it; and hang never replies,
// until the client leaves or the faults are cleared.
package email

import (
	"crypto/tls"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/trivet-dev/trivet/sandbox/fault"
)

const (
	// maxMails bounds the mails that are kept; the oldest go first.
	maxMails = 1000
	// maxSize bounds a mail, in bytes.
	maxSize = 1 << 20
	// maxConnections bounds the connections at a time.
	maxConnections = 64
)

// Config is what a Fake needs; the zero value is a server without TLS and passwords.
type Config struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// TLS, when set, offers STARTTLS; without TLS a client may not sign in.
	TLS *tls.Config
	// Username and Password, when set, must be given before a mail.
	Username, Password string
}

// Mail is a mail that was taken.
type Mail struct {
	ID string `json:"id"`
	// From and To are those of the envelope.
	From        string    `json:"from"`
	To          []string  `json:"to"`
	Subject     string    `json:"subject"`
	MessageID   string    `json:"message_id"`
	Text        string    `json:"text"`
	HTML        string    `json:"html,omitempty"`
	Unsubscribe string    `json:"list_unsubscribe,omitempty"`
	Encrypted   bool      `json:"encrypted"`
	ReceiveTime time.Time `json:"receive_time"`
}

// Fake is the server. It is safe for concurrent use.
type Fake struct {
	config Config
	faults *fault.Set
	slots  chan struct{}
	routes *http.ServeMux

	mu    sync.Mutex
	next  int
	mails []Mail
}

// New returns a server without mails. Serve accepts its connections.
func New(c Config) *Fake {
	if c.Now == nil {
		c.Now = time.Now
	}
	f := &Fake{config: c, faults: fault.NewSet("email"), slots: make(chan struct{}, maxConnections)}
	f.routes = f.mux()
	return f
}

// Faults returns the faults that strike at SMTP commands.
func (f *Fake) Faults() *fault.Set { return f.faults }

// Mails lists the mails that were taken, the oldest first.
func (f *Fake) Mails() []Mail {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Mail{}, f.mails...)
}

// Reset forgets the mails.
func (f *Fake) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mails = nil
}

func (f *Fake) keep(m Mail) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	m.ID, m.ReceiveTime = "mail_"+strconv.Itoa(f.next), f.config.Now().UTC()
	f.mails = append(f.mails, m)
	if len(f.mails) > maxMails {
		f.mails = append([]Mail{}, f.mails[1:]...)
	}
}
