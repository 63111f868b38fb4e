package gateway

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestServerIsBounded keeps what a stranger could hold open or fill up within limits.
func TestServerIsBounded(t *testing.T) {
	g := &Gateway{logger: slog.New(slog.DiscardHandler), config: Config{BodyTimeout: 30 * time.Second}}
	server := g.server(context.Background())
	require.Equal(t, 10*time.Second, server.ReadHeaderTimeout, "slow headers")
	require.Equal(t, 40*time.Second, server.ReadTimeout, "bodies that no handler reads")
	require.Equal(t, 2*time.Minute, server.IdleTimeout)
	require.Equal(t, 64<<10, server.MaxHeaderBytes)
	require.Zero(t, server.WriteTimeout, "it would end streams; each write has its own")
}
