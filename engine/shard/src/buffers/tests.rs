use super::PieceBuffers;

impl PieceBuffers {
    /// Extents that pieces lie in.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }
}
