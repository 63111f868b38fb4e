package smtp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

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
