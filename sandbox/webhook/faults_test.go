package webhook_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/sandbox/webhook"
)

func TestDeliveryFaults(t *testing.T) {
	for name, test := range map[string]struct {
		settings webhook.Settings
		check    func(t *testing.T, s *webhook.Sender, got string)
	}{
		"none": {webhook.Settings{}, func(t *testing.T, _ *webhook.Sender, got string) {
			t.Helper()
			require.Equal(t, "1 2 3 4 5 6 7 8 9 10", got)
		}},
		"lose the next": {webhook.Settings{LoseNext: 2}, func(t *testing.T, s *webhook.Sender, got string) {
			t.Helper()
			require.Equal(t, "3 4 5 6 7 8 9 10", got)
			require.Equal(t, 2, s.Counts()[webhook.Lost])
			require.Zero(t, s.Settings().LoseNext, "used up")
		}},
		"lose a share": {webhook.Settings{LoseFraction: 0.5, Seed: 7}, func(t *testing.T, s *webhook.Sender, got string) {
			t.Helper()
			require.Equal(t, "1 2 9", got, "the same on every run")
			require.Equal(t, 7, s.Counts()[webhook.Lost])
		}},
		"lose another type": {webhook.Settings{LoseFraction: 1, Types: []string{"user.deleted"}}, func(t *testing.T, _ *webhook.Sender, got string) {
			t.Helper()
			require.Equal(t, "1 2 3 4 5 6 7 8 9 10", got)
		}},
		"double the next": {webhook.Settings{DoubleNext: 1}, func(t *testing.T, _ *webhook.Sender, got string) {
			t.Helper()
			require.Equal(t, "1 1 2 3 4 5 6 7 8 9 10", got)
		}},
		"double all": {webhook.Settings{DoubleFraction: 1}, func(t *testing.T, s *webhook.Sender, _ string) {
			t.Helper()
			require.Equal(t, 20, s.Counts()[webhook.Delivered])
		}},
		"shuffle": {webhook.Settings{Shuffle: 5, Seed: 3}, func(t *testing.T, _ *webhook.Sender, got string) {
			t.Helper()
			require.NotEqual(t, "1 2 3 4 5 6 7 8 9 10", got)
			first, second := got[:9], got[10:]
			for i := 1; i <= 5; i++ {
				require.Contains(t, first, fmt.Sprint(i))
				require.Contains(t, second, fmt.Sprint(i+5))
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &endpoint{}
				test.settings.Concurrency = 1
				s := open(t, e, test.settings)
				send(s, 1, 10)
				synctest.Wait()
				test.check(t, s, e.got())
				require.NoError(t, s.Close(t.Context()))
			})
		})
	}
}

func TestDelayAndPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{}
		s := open(t, e, webhook.Settings{Delay: time.Minute, Concurrency: 1})
		send(s, 1, 1)
		time.Sleep(59 * time.Second)
		require.Empty(t, e.got())
		time.Sleep(2 * time.Second)
		require.Equal(t, "1", e.got())

		require.NoError(t, s.Change(webhook.Settings{Shuffle: 10, Concurrency: 1}))
		send(s, 2, 3)
		synctest.Wait()
		require.Equal(t, "1", e.got(), "the window is not full")
		time.Sleep(3 * time.Second)
		require.Len(t, e.got(), 5, "but nothing is held back forever")

		require.NoError(t, s.Change(webhook.Settings{Paused: true}))
		send(s, 4, 4)
		time.Sleep(time.Hour)
		require.Len(t, e.got(), 5)
		require.NoError(t, s.Change(webhook.Settings{}))
		synctest.Wait()
		require.Len(t, e.got(), 7)
		require.NoError(t, s.Close(t.Context()))
	})
}
