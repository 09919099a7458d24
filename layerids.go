package libcontainerd

import "sync"

// layerIDs remembers the ids of layers by their names. An id depends on the name alone, the
// same layers come again with each container of an image, and Windows takes 22 allocations
// to compute one.
type layerIDs struct {
	mu  sync.Mutex // guards following
	ids map[string]string
}

// mostLayerIDs is how many are remembered at most: an image has a dozen layers.
const mostLayerIDs = 4096

// get returns the id of a layer, from compute if it is not known. A failure is not
// remembered.
func (l *layerIDs) get(name string, compute func(name string) (string, error)) (string, error) {
	l.mu.Lock()
	id, known := l.ids[name]
	l.mu.Unlock()
	if known {
		return id, nil
	}
	id, err := compute(name)
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids == nil || len(l.ids) >= mostLayerIDs {
		l.ids = make(map[string]string)
	}
	l.ids[name] = id
	return id, nil
}
