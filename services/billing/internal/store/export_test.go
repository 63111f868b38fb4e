package store

// SetLimitedPage changes how many holds one transaction marks.
func (s *Store) SetLimitedPage(holds int64) { s.limitedPage = holds }
