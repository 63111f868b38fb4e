package telemetry_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trivet-dev/trivet/platform/telemetry"
)

func TestMemo(t *testing.T) {
	var memo telemetry.Memo[string, *int]
	length := func(key string) *int { n := len(key); return &n }
	first := memo.Get("three", length)
	require.Equal(t, 5, *first)
	require.Same(t, first, memo.Get("three", func(string) *int { t.Error("made twice"); return nil }))
	require.Equal(t, 3, *memo.Get("one", length))
}

func TestMemoOfManyCallers(t *testing.T) {
	var memo telemetry.Memo[int, *int]
	got := make([]*int, 32)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() { got[i] = memo.Get(1, func(int) *int { return new(int) }) })
	}
	all.Wait()
	for _, p := range got {
		require.Same(t, got[0], p)
	}
}
