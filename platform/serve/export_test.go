package serve

// StatesOf returns the states that were noted.
func StatesOf(f *FileStates, names []string) map[string]string { return f.of(names) }
