package table

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Store is the file behind a fake's tables: one JSON record per change, of which the last one per row counts. It is
// written without fsync, so it survives a crash of the process but not of the machine. The fake's lock protects it, as
// it does the tables.
type Store struct {
	path   string // empty: in memory only
	tables []rows
	file   *os.File
	lines  int
}

// rows is a table without its type.
type rows interface {
	label() string
	Len() int
	clear()
	replay(record) error
	dump(write func(record, any) error) error
}

// record is one line of the file.
type record struct {
	Table   string          `json:"table"`
	ID      string          `json:"id"`
	Deleted bool            `json:"deleted,omitempty"`
	Row     json.RawMessage `json:"row,omitempty"`
}

// NewStore returns a store that is kept at path, or in memory only when path is empty.
func NewStore(path string) *Store { return &Store{path: path} }

// Load fills the tables and opens the file for appending. All tables must have been added before.
func (s *Store) Load() error {
	if s.path == "" {
		return nil
	}
	raw, err := os.ReadFile(s.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the sandbox's state: %w", err)
	}
	if err := s.replay(raw); err != nil {
		return fmt.Errorf("the sandbox's state in %s is damaged (delete the file to start anew): %w", s.path, err)
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	return s.compact()
}

func (s *Store) replay(raw []byte) error {
	byName := map[string]rows{}
	for _, t := range s.tables {
		byName[t.label()] = t
	}
	reader := bufio.NewReader(bytes.NewReader(raw))
	for n := 1; ; n++ {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // a process that was killed left an incomplete last line
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		t, known := byName[r.Table]
		if !known {
			continue
		}
		if err := t.replay(r); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}

// append writes one change, and from time to time rewrites the whole file.
func (s *Store) append(r record, row any) error {
	if s.file == nil {
		return nil
	}
	if s.lines > 4*s.size()+10_000 {
		return s.compact() // the change is in the tables already
	}
	s.lines++
	return write(s.file, r, row)
}

func write(w io.Writer, r record, row any) error {
	if !r.Deleted {
		raw, err := json.Marshal(row)
		if err != nil {
			return fmt.Errorf("keep the sandbox's state: %w", err)
		}
		r.Row = raw
	}
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("keep the sandbox's state: %w", err)
	}
	if _, err := w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("keep the sandbox's state: %w", err)
	}
	return nil
}

func (s *Store) size() int {
	n := 0
	for _, t := range s.tables {
		n += t.Len()
	}
	return n
}

// compact replaces the file by one with a single line per row.
func (s *Store) compact() error {
	temp, err := os.OpenFile(s.path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the sandbox's state: %w", err)
	}
	buffered := bufio.NewWriter(temp)
	for _, t := range s.tables {
		if err := t.dump(func(r record, row any) error { return write(buffered, r, row) }); err != nil {
			return errors.Join(err, temp.Close())
		}
	}
	if err := errors.Join(buffered.Flush(), os.Rename(temp.Name(), s.path)); err != nil {
		return errors.Join(fmt.Errorf("keep the sandbox's state: %w", err), temp.Close())
	}
	old := s.file
	s.file, s.lines = temp, s.size()
	if old != nil {
		return old.Close()
	}
	return nil
}

// Reset empties all tables and the file.
func (s *Store) Reset() error {
	for _, t := range s.tables {
		t.clear()
	}
	if s.file == nil {
		return nil
	}
	return s.compact()
}

// Close closes the file. Later changes stay in memory.
func (s *Store) Close() error {
	if s.file == nil {
		return nil
	}
	file := s.file
	s.file = nil
	return file.Close()
}
