"""What several venues share: sequencing of order books."""
