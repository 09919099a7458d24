package engine

// SystemEnded plays the client that tells of the late end of a compute system.
func (e *Engine) SystemEnded(id string) { backend{e}.ComputeSystemEnded(id) }

// StartMortal makes an engine whose store asks step before and after each write, as
// a dead engine's is not written to.
func StartMortal(step func() (alive bool), options ...Option) (*Engine, error) {
	s, err := newSettings(options)
	if err != nil {
		return nil, err
	}
	st, err := openStore(s.stateDir)
	if err != nil {
		return nil, err
	}
	return start(s, mortalStore{st, step})
}

type mortalStore struct {
	store
	step func() bool
}

func (m mortalStore) save(id string, current func() *record) error {
	if !m.step() {
		return nil
	}
	err := m.store.save(id, current)
	m.step()
	return err
}

// LoseStore closes the store, as the end of the process does.
func (e *Engine) LoseStore() error { return e.store.close() }

// LoseContainers empties the state.
func (e *Engine) LoseContainers() error {
	for _, c := range e.Containers() {
		m, ok := e.store.(mortalStore)
		if !ok {
			return nil
		}
		if err := m.store.save(c.id, func() *record { return nil }); err != nil {
			return err
		}
	}
	return nil
}
