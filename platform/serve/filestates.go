package serve

import (
	"sync"

	"github.com/trivet-dev/trivet/platform/settings"
)

// FileStates are the states of the files that hold settings (NAME_FILE) at the time when the settings were read. A file that changes
// later, also while the process starts, differs from its state and is read again. It is safe for concurrent use.
type FileStates struct {
	get func(name string) string

	mu     sync.Mutex
	states map[string]string
}

// ReadFileStates notes the states for the settings of structs. Call it before the settings are read.
func ReadFileStates(get func(string) string, structs ...any) (*FileStates, error) {
	docs, err := settings.Describe(structs...)
	if err != nil {
		return nil, err
	}
	f := &FileStates{get: get, states: map[string]string{}}
	for _, d := range docs {
		f.note(d.Name, d.Alias)
	}
	return f, nil
}

// note notes the states for settings by their names.
func (f *FileStates) note(names ...string) {
	states := settings.FileStates(f.get, names)
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, state := range states {
		f.states[name] = state
	}
}

// Secrets reads a setting that holds keys and that no struct has, and notes its state first.
func (f *FileStates) Secrets(name string) (settings.Secrets, error) {
	f.note(name)
	return settings.ReadSecrets(f.get, name, "")
}

// of returns the states for settings. One that was not noted has none, and so differs from what is in its file.
func (f *FileStates) of(names []string) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	states := map[string]string{}
	for _, name := range names {
		if state, ok := f.states[name]; ok {
			states[name] = state
		}
	}
	return states
}
