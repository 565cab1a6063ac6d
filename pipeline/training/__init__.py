"""Fine-tuning on MONAI's trainers, with alignment as a handler."""
