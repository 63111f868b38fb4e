package models

import (
	"crypto/sha256"
	"slices"
	"strings"
	"sync/atomic"

	errorsv1 "github.com/trivet-dev/trivet/gen/go/trivet/errors/v1"
	"github.com/trivet-dev/trivet/platform/errs"
)

// List is the price list that a process works with. Its content changes as a whole, by Replace. It is safe for
// concurrent use.
type List struct{ content atomic.Pointer[Content] }

// Content is what a price list says at one time. It does not change.
type Content struct {
	byID    map[string]Model
	order   []string
	targets map[string]*Target
	source  [sha256.Size]byte // the hash of the file; zero for a list that is not from a file
}

// Content returns what the list says now. Two calls return the same pointer when the list was not replaced in between.
func (l *List) Content() *Content { return l.content.Load() }

// Replace puts the content of another list in place of this one's.
func (l *List) Replace(with *List) { l.content.Store(with.content.Load()) }

// Get returns a model by its name or an alias; for an unknown one an *errs.Error with the reason MODEL_NOT_FOUND that lists the known ones.
func (l *List) Get(id string) (Model, error) {
	c := l.content.Load()
	m, ok := c.byID[id]
	if !ok {
		return Model{}, errs.New(errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_FOUND,
			"The model %q does not exist. Known models: %s.", shorten(id), strings.Join(c.order, ", ")).
			Field("model", "is not in the price list").With("model", shorten(id))
	}
	return m, nil
}

// All returns the models by name.
func (l *List) All() []Model { return l.content.Load().All() }

// All returns the models by name.
func (c *Content) All() []Model {
	all := make([]Model, 0, len(c.order))
	for _, id := range c.order {
		all = append(all, c.byID[id])
	}
	return all
}

// Targets returns the targets that the file defines, by name. The default target is not among them.
func (c *Content) Targets() map[string]*Target { return c.targets }

func newList(all []Model, targets map[string]*Target) *List {
	c := &Content{byID: make(map[string]Model, len(all)), targets: targets}
	for _, m := range all {
		c.byID[m.ID] = m
		for _, alias := range m.Aliases {
			c.byID[alias] = m
		}
		c.order = append(c.order, m.ID)
	}
	slices.Sort(c.order)
	l := &List{}
	l.content.Store(c)
	return l
}

func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
