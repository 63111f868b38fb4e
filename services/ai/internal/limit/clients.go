package limit

import (
	"sync"

	"github.com/redis/go-redis/v9"
)

// clients holds the client of the current address. No lock is held while a call uses a client, so a change of the address waits for no call, and no
// call waits for a change.
type clients struct {
	mu      sync.Mutex
	current *sharedClient
	url     string
}

// sharedClient is a client that is closed when the last call that uses it has ended.
type sharedClient struct {
	*redis.Client

	owner   *clients
	users   int  // calls that use it
	retired bool // another one has replaced it
}

// newClients returns clients that begin with one.
func newClients(client *redis.Client, url string) *clients {
	c := &clients{url: url}
	c.current = &sharedClient{Client: client, owner: c}
	return c
}

// use returns the current client. The caller must release it.
func (c *clients) use() *sharedClient {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current.users++
	return c.current
}

// release ends the use of a client.
func (s *sharedClient) release() {
	s.owner.mu.Lock()
	s.users--
	last := s.retired && s.users == 0
	s.owner.mu.Unlock()
	if last {
		_ = s.Close() // nobody can do anything about it
	}
}

// replace has the next calls use another client.
func (c *clients) replace(client *redis.Client, url string) error {
	c.mu.Lock()
	old := c.current
	c.current, c.url = &sharedClient{Client: client, owner: c}, url
	old.retired = true
	unused := old.users == 0
	c.mu.Unlock()
	if !unused {
		return nil
	}
	return old.Close()
}

// address returns the URL of the current client.
func (c *clients) address() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.url
}

// close closes the current client.
func (c *clients) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current.Close()
}
