package allinone

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/database"
	"github.com/trivet-dev/trivet/platform/database/databasetest"
	"github.com/trivet-dev/trivet/platform/redistest"
	"github.com/trivet-dev/trivet/platform/settings"
)

func TestVersionsOfPostgreSQL(t *testing.T) {
	for version, want := range map[int][]Finding{
		0:  nil,
		12: {failure("DATABASE_URL", "the server is PostgreSQL 12; Trivet needs 13 or later", "upgrade the server to PostgreSQL 15 or later")},
		13: {warning("DATABASE_URL", "the server is PostgreSQL 13; Trivet is tested with 15 and later", "upgrade the server to PostgreSQL 15 or later")},
		14: {warning("DATABASE_URL", "the server is PostgreSQL 14; Trivet is tested with 15 and later", "upgrade the server to PostgreSQL 15 or later")},
		15: nil,
		18: nil,
	} {
		require.Equal(t, want, server{"PostgreSQL", "DATABASE_URL", database.OldestPostgres, database.TestedPostgres}.judge(version), version)
	}
}

// The doctor asks the servers themselves.
func TestVersionsOfServers(t *testing.T) {
	for name, c := range map[string]struct {
		redis func(t *testing.T) string
		want  []Finding
	}{
		"a tested version":          {func(t *testing.T) string { return redistest.New(t).URL() }, nil},
		"a version that is too old": {oldRedis("4.0.14"), []Finding{failure("REDIS_URL", "the server is Redis 4; Trivet needs 5 or later", "upgrade the server to Redis 7 or later")}},
		"an old version":            {oldRedis("6.2.1"), []Finding{warning("REDIS_URL", "the server is Redis 6; Trivet is tested with 7 and later", "upgrade the server to Redis 7 or later")}},
		"a version that is hidden":  {oldRedis(""), nil},
		"a version without numbers": {oldRedis("unknown"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPatient(t)
			p.values["REDIS_URL"] = c.redis(t)
			seen := 0
			for _, examined := range p.examine(t).Checks {
				if examined.Check == "Redis" {
					seen++
					require.ElementsMatch(t, c.want, examined.Findings)
				}
			}
			require.Equal(t, 1, seen)
		})
	}
	t.Run("PostgreSQL", func(t *testing.T) {
		db, err := database.Open(t.Context(), database.For("auth", settings.NewSecret(databasetest.PostgresURL(t))))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close(context.Background())) })
		require.Empty(t, postgresVersion(t.Context(), db))
	})
}

// oldRedis is a server that says which version it is, or refuses to.
func oldRedis(version string) func(t *testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		var serving sync.WaitGroup
		ended := make(chan struct{})
		t.Cleanup(func() {
			_ = listener.Close()
			close(ended)
			serving.Wait()
		})
		serving.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				serving.Go(func() { answerAsRedis(conn, version) })
				serving.Go(func() {
					<-ended
					_ = conn.Close()
				})
			}
		})
		return "redis://" + listener.Addr().String()
	}
}

func answerAsRedis(conn net.Conn, version string) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	line := func() string {
		text, _ := in.ReadString('\n')
		return strings.TrimSpace(text)
	}
	for {
		words, err := strconv.Atoi(strings.TrimPrefix(line(), "*"))
		if err != nil {
			return
		}
		command := ""
		for i := range words {
			line() // the length
			if word := line(); i == 0 {
				command = strings.ToUpper(word)
			}
		}
		switch {
		case command == "PING":
			_, _ = fmt.Fprint(conn, "+PONG\r\n")
		case command == "EVAL":
			_, _ = fmt.Fprint(conn, ":1\r\n")
		case command == "INFO" && version != "":
			text := "# Server\r\nredis_version:" + version + "\r\nredis_mode:standalone\r\n"
			_, _ = fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(text), text)
		default:
			_, _ = fmt.Fprint(conn, "-ERR unknown command\r\n")
		}
	}
}
