package apikey

// Note lets tests fill the memory of uses.
func (u *Uses) Note(k Key, use Use) { u.note(k, use) }
