"""Readers of the data sets that people have: Stanford Dogs, CUB-200-2011, image folders, COCO, Parquet tables."""

from fgic_data_readers.coco import Coco
from fgic_data_readers.cub_200_2011 import Cub200
from fgic_data_readers.image_folder import ImageFolder
from fgic_data_readers.parquet_table import ParquetTable
from fgic_data_readers.stanford_dogs import StanfordDogs

__all__ = ["Coco", "Cub200", "ImageFolder", "ParquetTable", "StanfordDogs"]
