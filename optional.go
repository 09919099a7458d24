package libcontainerd

// Numbers of a Spec are optional: a nil pointer and a pointer to 0 mean the same.

// value returns what v points to, and the zero value if v is nil.
func value[T any](v *T) T {
	if v == nil {
		var zero T
		return zero
	}
	return *v
}

// clone returns a pointer to a copy of what v points to, and nil if v is nil.
func clone[T any](v *T) *T {
	if v == nil {
		return nil
	}
	return new(*v)
}

// widen is clone for a number of OCI that a Spec holds in 64 bits.
func widen(v *uint16) *uint64 {
	if v == nil {
		return nil
	}
	return new(uint64(*v))
}
