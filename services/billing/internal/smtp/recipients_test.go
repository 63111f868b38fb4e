package smtp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/health"
	"github.com/trivet-dev/trivet/sandbox/fault"
	"github.com/trivet-dev/trivet/services/billing/internal/smtp"
)

// Only the replies to several recipients tell a recipient that is refused from a sender that is.
func TestARecipientThatIsRefusedConcernsNoOther(t *testing.T) {
	for name, status := range map[string]string{"policy": "5.7.1 refused", "routing": "5.4.1 no route"} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, false, false)
			s.config.Calls = s.calls(t, 2)
			client := s.client(t)
			sendTo := func(to string, refused bool) *smtp.Error {
				t.Helper()
				if refused {
					_, err := s.Faults().Add(fault.Fault{Kind: fault.Status, Path: "/rcpt", Status: 554, Body: status, Count: 1})
					require.NoError(t, err)
				}
				m, told := mail(), (*smtp.Error)(nil)
				m.To = to
				if err := client.Send(t.Context(), m); err != nil {
					require.ErrorAs(t, err, &told)
				}
				return told
			}
			for range 10 {
				require.True(t, sendTo("ann@example.test", true).Single, "the same recipient counts once")
			}
			require.True(t, sendTo("ANN@example.test", true).Single)
			require.True(t, sendTo("bob@example.test", true).Single)
			require.Nil(t, sendTo("cleo@example.test", false), "the breaker is closed, and others get their mails")
			require.True(t, sendTo("ann@example.test", true).Single)
			require.True(t, sendTo("dan@example.test", true).Single)
			require.NotContains(t, s.log.String(), "outcome=server_error")

			require.False(t, sendTo("eve@example.test", true).Single, "every recipient is refused")
			require.Contains(t, s.log.String(), "outcome=server_error")
			require.Nil(t, sendTo("cleo@example.test", false))
			require.True(t, sendTo("eve@example.test", true).Single)

			require.True(t, sendTo("fay@example.test", true).Single)
			_, err := s.Faults().Add(fault.Fault{Kind: fault.Status, Path: "/data", Status: 451, Count: 1})
			require.NoError(t, err)
			require.Equal(t, "data", sendTo("gil@example.test", false).Stage)
			require.True(t, sendTo("hal@example.test", true).Single, "the server accepted the recipient of a text that it did not take")
		})
	}
}

// A check finds a server that works. It says nothing about mails, which the server may refuse all the same.
func TestAGoodCheckDoesNotHideThatMailsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		path, text string
		mails      int // until every mail counts as refused
	}{
		"the sender": {"/mail", "5.7.1 refused", 1}, "the recipients": {"/rcpt", "5.7.1 relay access denied", 3}, "the text": {"/data", "not verified", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, now := newServer(t, false, false), time.Now()
			s.health = health.NewProvider(func() time.Time { return now })
			s.config.Health = s.health
			client := s.client(t)
			probe := func(works bool, why string) {
				t.Helper()
				now = now.Add(time.Hour) // what was before counts no more
				client.Probe(t.Context())
				require.Equal(t, works, s.health.Condition().GetStatus() == health.Operational, why)
			}
			to := func(i int) smtp.Mail {
				m := mail()
				m.To = fmt.Sprintf("user%d@example.test", i)
				return m
			}
			probe(true, "no mail was sent")
			_, err := s.Faults().Add(fault.Fault{Kind: fault.Status, Path: c.path, Status: 554, Body: c.text})
			require.NoError(t, err)
			for i := range c.mails {
				require.Error(t, client.Send(t.Context(), to(i)))
				probe(i < c.mails-1, "every mail is refused")
			}
			s.Faults().Clear()
			probe(false, "no mail was accepted since")
			require.NoError(t, client.Send(t.Context(), to(0)))
			probe(true, "a mail was accepted")

			_, err = s.Faults().Add(fault.Fault{Kind: fault.Close, Path: "/connect"})
			require.NoError(t, err)
			require.Error(t, client.Send(t.Context(), to(0)))
			probe(false, "the server is away")
			s.Faults().Clear()
			probe(true, "the server is back")
		})
	}
}
