package status

import (
	"net/netip"
	"sync"

	"github.com/trivet-dev/trivet/gateway/internal/clientip"
)

// streams counts the open streams, in all and of each client.
type streams struct {
	mu  sync.Mutex
	all int
	of  map[netip.Prefix]int // clients without a stream are not in it
}

// take counts one more stream of a client until release is called. It reports false when there are too many. Streams from
// this machine have no bound of their own, as they have no limit of requests.
func (s *streams) take(client netip.Addr) (release func(), ok bool) {
	network := clientip.Network(client)
	bounded := client.IsValid() && !client.IsLoopback()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || (bounded && s.of[network] >= maxStreamsOfClient) {
		return nil, false
	}
	s.all++
	s.of[network]++
	return func() { s.release(network) }, true
}

func (s *streams) release(network netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.of[network]--; s.of[network] == 0 {
		delete(s.of, network)
	}
}
