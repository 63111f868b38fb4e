package allinone

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGOGCDecidesAboutTheHeap(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	setHeapGrowth(func(string) string { return "off" })
	require.Equal(t, 100, debug.SetGCPercent(100))
	setHeapGrowth(func(string) string { return "" })
	require.Equal(t, heapGrowth, debug.SetGCPercent(100))
}
