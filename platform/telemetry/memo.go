package telemetry

import "sync"

// Memo keeps what is made once for each key, such as the options of a metric's labels, which cost more to make than a value
// costs to record. Keys must be few. The zero value is ready, and safe for concurrent use. Unlike sync.Map, a Memo finds a key
// without an allocation.
type Memo[K comparable, V any] struct {
	mu   sync.RWMutex
	made map[K]V
}

// Get returns what was made for a key; the first time, it makes it.
func (m *Memo[K, V]) Get(key K, make func(K) V) V {
	m.mu.RLock()
	value, ok := m.made[key]
	m.mu.RUnlock()
	if ok {
		return value
	}
	return m.add(key, make(key))
}

// add keeps a value, unless another was kept meanwhile.
func (m *Memo[K, V]) add(key K, value V) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	if other, ok := m.made[key]; ok {
		return other
	}
	if m.made == nil {
		m.made = map[K]V{}
	}
	m.made[key] = value
	return value
}
