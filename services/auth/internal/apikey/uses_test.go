package apikey_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/services/auth/internal/apikey"
)

func TestWhichUsesAreWritten(t *testing.T) {
	last := time.Unix(1_000, 0)
	for name, tc := range map[string]struct {
		use  apikey.Use
		want bool
	}{
		"the store knows a use of just now": {apikey.Use{At: last.Add(time.Minute - 1)}, false},
		"a minute later":                    {apikey.Use{At: last.Add(time.Minute)}, true},
		"a hash to replace cannot wait":     {apikey.Use{At: last.Add(time.Second), Hash: []byte("new")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			uses := apikey.NewUses(m, slog.New(slog.DiscardHandler))
			uses.Note(apikey.Key{ID: "key_1", LastUseTime: last}, tc.use)
			ended, stop := context.WithCancel(t.Context())
			stop()
			uses.Run(ended)
			require.Equal(t, tc.want, len(m.uses) == 1)
		})
	}
}

// TestNewerUsesWin: a use that could not be written does not replace one that was noted since.
func TestNewerUsesWin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		uses := apikey.NewUses(m, slog.New(slog.DiscardHandler))
		early, late := time.Now(), time.Now().Add(2*time.Minute)
		m.noting = func() {
			m.noting = nil
			uses.Note(apikey.Key{ID: "both"}, apikey.Use{At: late}) // while the older use is being written
		}
		m.fill(errors.New("disk full"))
		uses.Note(apikey.Key{ID: "both"}, apikey.Use{At: early})
		uses.Note(apikey.Key{ID: "older"}, apikey.Use{At: early})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { uses.Run(ctx); close(ended) }()
		time.Sleep(16 * time.Second)
		m.fill(nil)
		time.Sleep(15 * time.Second)
		stop()
		<-ended
		require.Equal(t, map[string]apikey.Use{"both": {At: late}, "older": {At: early}}, m.uses)
	})
}
