// Package libcontainerd runs Windows containers directly on the Host Compute
// Service (HCS).
package libcontainerd
